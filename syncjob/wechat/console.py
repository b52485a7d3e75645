"""Paths in WeChat's console that messages point to; defined here only.

AppID, AppSecret and IP whitelist moved from mp.weixin.qq.com to 微信开发者平台, and so did the
permissions of APIs (developers.weixin.qq.com/doc/service/guide/dev/migration.html). Only an
administrator or a developer of the account sees them there; a changed whitelist takes effect after
some minutes (same page).
"""

CONSOLE = "developers.weixin.qq.com/platform"
ACCOUNT = f"微信开发者平台 ({CONSOLE}) > 我的业务 > 公众号/服务号"
# AppID, AppSecret, IP whitelist
KEYS = f"{ACCOUNT} > 基础信息 > 开发密钥"
PERMISSIONS = f"{ACCOUNT} > 接口管理 > 接口权限与额度"
