"""The one table of settings: each field that is made by `setting()` is a row.

The readers, the settings file of `syncjob init`, the check for unknown names, the redaction of
secrets, the list of a rehearsal and the manual's table all derive from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from syncjob.config import parsers
from syncjob.config.secrets import Secret, any_text, cannot_tell, has_key, has_password
from syncjob.config.table import SECTIONS, Setting, rows_of, setting
from syncjob.model.sweeps import Allowance

TokenSourceName = Literal["stable", "classic", "url", "command", "fixed"]
WebhookFormat = Literal["auto", "json", "wecom", "dingtalk", "feishu", "slack"]


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What a run needs to know of its account.

    `sweep_every` None means `auto`, `refresh_after` None never; `quota_reserve` is 0 to 1, None
    keeps no reserve. What the token source does not need is empty.
    """

    appid: str = setting(
        "SYNCJOB_APPID",
        parsers.appid,
        section="needed",
        expected=f"the account's AppID, such as {parsers.EXAMPLE_APPID}",
        help_en="the account. `status` and `runs` need it only if the database holds several "
        "accounts",
        help_zh="账号。只有数据库里有多个账号时，`status` 和 `runs` 才需要它",
        note="Its administrators and developers find AppID and AppSecret here:\n"
        "微信开发者平台 (developers.weixin.qq.com/platform) > 我的业务 > 公众号/服务号 > "
        "基础信息 > 开发密钥",
    )
    appsecret: Secret = setting(
        "SYNCJOB_APPSECRET",
        parsers.credential("SYNCJOB_APPSECRET", "the account's AppSecret"),
        section="needed",
        expected="the account's AppSecret",
        only_for=("stable", "classic"),
        unset=Secret(""),
        exposes=any_text,
        has_file=True,
        file_example="/etc/syncjob/appsecret",
        help_en="its secret. A file suits systemd credentials and container secrets",
        help_zh="账号的密钥。放在文件里适合 systemd credential 和容器 secret",
    )
    token_source: TokenSourceName = setting(
        "SYNCJOB_TOKEN_SOURCE",
        parsers.one_of(get_args(TokenSourceName)),
        "stable",
        section="token",
        help_en="`stable`, `classic`, `url`, `command`, `fixed`",
        help_zh="`stable`、`classic`、`url`、`command`、`fixed`",
        see="tokens",
    )
    token_url: Secret = setting(
        "SYNCJOB_TOKEN_URL",
        parsers.http_address("SYNCJOB_TOKEN_URL", "the http(s) address of your token server"),
        section="token",
        expected="the http(s) address of your token server, since SYNCJOB_TOKEN_SOURCE is url",
        only_for=("url",),
        unset=Secret(""),
        exposes=has_key,
        example="https://tokens.example/wechat",
        help_en="the address of your token server",
        help_zh="你的令牌服务器的地址",
    )
    token_command: tuple[str, ...] = setting(
        "SYNCJOB_TOKEN_COMMAND",
        parsers.command("SYNCJOB_TOKEN_COMMAND"),
        section="token",
        expected="the command to run, since SYNCJOB_TOKEN_SOURCE is command",
        only_for=("command",),
        unset=(),
        exposes=cannot_tell,
        is_command=True,
        example="redis-cli --raw GET wechat_token",
        help_en="the command to run, split into words as by a shell, but run without one",
        help_zh="要运行的命令，像 shell 那样分词，但不经过 shell",
    )
    access_token: Secret = setting(
        "SYNCJOB_ACCESS_TOKEN",
        parsers.credential("SYNCJOB_ACCESS_TOKEN", "the token to use"),
        section="token",
        expected="the token to use",
        only_for=("fixed",),
        unset=Secret(""),
        exposes=any_text,
        has_file=True,
        help_en="the token",
        help_zh="令牌",
    )
    lang: str = setting(
        "SYNCJOB_LANG",
        parsers.one_of(("zh_CN", "zh_TW", "en")),
        "zh_CN",
        section="rest",
        help_en="`zh_CN`, `zh_TW`, `en`: the language of places in profiles, not of messages",
        help_zh="`zh_CN`、`zh_TW`、`en`：资料里地名的语言，不是提示信息的语言",
    )
    sweep_every: timedelta | None = setting(
        "SYNCJOB_SWEEP_EVERY",
        parsers.sweep_every,
        "auto",
        section="sweeps",
        help_en="how long after the start of a complete sweep the next may start: `0` (every "
        "run), `30m`, `6h`, `1d`. A run up to 5 % early is on time, so `1d` suits a "
        "daily timer. `auto`: as often as half of 500 list calls a day allows (10 000 "
        "followers: every 12 minutes; a million: every 10 hours)",
        help_zh="一轮完整清点开始多久之后可以开始下一轮：`0`（每次运行）、`30m`、`6h`、`1d`；"
        "提前 5 % 以内算准时，所以 `1d` 适合每天一次的定时器。`auto`：每天 500 次列表调用的基本"
        "配额的一半所允许的频率（一万粉丝：每 12 分钟；一百万：每 10 小时）",
    )
    sweep_max_age: timedelta = setting(
        "SYNCJOB_SWEEP_MAX_AGE",
        parsers.max_age,
        "1d",
        section="sweeps",
        help_en="an open sweep that is older is not resumed but started over",
        help_zh="没做完的清点超过这个时间就不再继续，而是重新开始",
    )
    max_drift: Allowance = setting(
        "SYNCJOB_MAX_DRIFT",
        parsers.allowance,
        "50,1%",
        section="trust",
        help_en="how far a sweep's count may be from WeChat's total; a sweep that exceeds both "
        "limits is discarded",
        help_zh="清点的数目与微信的总数可以差多少；两个限度都超过的清点会被作废",
    )
    max_unfollow: Allowance = setting(
        "SYNCJOB_MAX_UNFOLLOW",
        parsers.allowance,
        "100,5%",
        section="trust",
        help_en="missing followers that exceed both limits are parked. If you give only one "
        "limit (`100` or `5%`), that one decides; `100%` never parks",
        help_zh="列表里不见了的粉丝同时超过这两个限度时搁置。只写一个（`100` 或 `5%`），就只看这一"
        "个；`100%` 表示从不搁置",
    )
    refresh_after: timedelta | None = setting(
        "SYNCJOB_REFRESH_AFTER",
        parsers.refresh_after,
        "off",
        section="sweeps",
        help_en="a profile that is older is fetched again, the oldest first: `30d`",
        help_zh="资料比这更旧就重新获取，最旧的先来：`30d`",
    )
    refresh_limit: int = setting(
        "SYNCJOB_REFRESH_LIMIT",
        parsers.count,
        "10000",
        section="sweeps",
        help_en="how many profiles a run refreshes at most",
        help_zh="每次运行最多刷新几份资料",
    )
    quota_reserve: float | None = setting(
        "SYNCJOB_QUOTA_RESERVE",
        parsers.share,
        "20%",
        section="sweeps",
        help_en="the share of each day's calls that is left to your other programs. `off` does "
        "not ask WeChat for limits, and stops only where WeChat does",
        help_zh="每天的调用次数留多少给你的其他程序。`off` 表示不查询限额，只在微信说停的时候停",
        see="quotas",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs: its account's own settings in `account`; all accounts share the rest.

    `keep_runs` None keeps runs for ever, `probe_after` 0 never probes; `timeout` is in seconds.
    `only_account` is the only AppID that the database may hold; None: it may hold any.
    """

    account: AccountSettings
    database_url: Secret = setting(
        "SYNCJOB_DATABASE_URL",
        parsers.database_url,
        "sqlite:///syncjob.db",
        section="needed",
        exposes=has_password,
        has_file=True,
        example="postgresql://syncjob:password@localhost/crm_wechat",
        file_example="/etc/syncjob/database-url",
        help_en="`postgresql://user@host/database` or `sqlite:////absolute/path.db`. "
        "Percent-encode `@ : / #` in a password. After a `?`: options of libpq only "
        "(`?sslmode=require&connect_timeout=5`), for SQLite `mode=ro` and `timeout=60` (seconds to "
        "wait for another program's write; 30 by default)",
        help_zh="`postgresql://user@host/database` 或 `sqlite:////absolute/path.db`。密码里的 `@ : "
        "/ #` 要做百分号编码。`?` 后面只能写 libpq 的选项（`?sslmode=require&connect_timeou"
        "t=5`），SQLite 可写 `mode=ro` 和 `timeout=60`（等别的程序写完多少秒，默认 30）",
        see="databases",
    )
    api_url: str = setting(
        "SYNCJOB_API_URL",
        parsers.api_url,
        parsers.WECHAT,
        section="rest",
        exposes=has_password,
        help_en="a proxy, the disaster-recovery host `https://api2.weixin.qq.com`, or a simulator",
        help_zh="代理、容灾域名 `https://api2.weixin.qq.com`，或模拟器",
    )
    batch_size: int = setting(
        "SYNCJOB_BATCH_SIZE",
        parsers.batch_size,
        "100",
        section="sweeps",
        help_en="profiles a call, 1 to 100",
        help_zh="每次调用获取几份资料，1 到 100",
    )
    concurrency: int = setting(
        "SYNCJOB_CONCURRENCY",
        parsers.concurrency,
        "8",
        section="sweeps",
        help_en="concurrent profile calls, 1 to 64; the list is one more. More calls are faster"
        " if WeChat is far away, and cost the same quota. `1` does one thing after the "
        "other",
        help_zh="同时进行几次资料调用，1 到 64；读列表另算一次。离微信远的时候，多一些更快，消耗的"
        "配额不变。`1` 表示一件一件做",
    )
    probe_after: int = setting(
        "SYNCJOB_PROBE_AFTER",
        parsers.count_or_off,
        "3",
        section="sweeps",
        help_en="after this many runs in a row that failed for one lasting cause (exit code 3),"
        " a run begins with one cheap call, to see whether the cause is still there; "
        "`off`",
        help_zh="连续这么多次因同一个需要人处理的原因（退出码 3）失败之后，运行会先做一次开销小的调"
        "用，看看原因是否还在；`off`",
    )
    keep_runs: timedelta | None = setting(
        "SYNCJOB_KEEP_RUNS",
        parsers.keep_runs,
        "400d",
        section="retention",
        help_en="records of runs and sweeps that ended longer ago are deleted at the end of a "
        "run (`runs`, `sweeps`, `run_counts`, `api_calls`, `api_errors`). Followers and the "
        "counters of the metrics stay; `off` keeps all",
        help_zh="结束得更早的运行和清点的记录（`runs`、`run_counts`、`sweeps`、`api_calls`、`api_errors`）"
        "在运行结束"
        "时删除；粉丝和指标的累计值不受影响；`off` 全部保留",
    )
    timeout: float = setting(
        "SYNCJOB_TIMEOUT",
        parsers.timeout,
        "30s",
        section="rest",
        help_en="the time that one call may take for its whole answer; connecting may take 5 s "
        "more",
        help_zh="一次调用收完整个响应可以用多久；建立连接可以再用 5 秒",
    )
    database_patience: float = setting(
        "SYNCJOB_DATABASE_PATIENCE",
        parsers.patience,
        "60s",
        section="rest",
        help_en="how long a database that restarts, fails over or has no free session is tried "
        "again, at most `2m`",
        help_zh="数据库重启、主备切换或没有空闲会话时重试多久，最多 `2m`",
    )
    metrics_file: Path | None = setting(
        "SYNCJOB_METRICS_FILE",
        parsers.metrics_file,
        section="metrics",
        reaches_others=True,
        example="/var/lib/prometheus/node-exporter/syncjob.prom",
        help_en="where a run writes its metrics at its end; must end with `.prom`",
        help_zh="运行结束时把指标写到哪里，必须以 `.prom` 结尾",
        see="metrics",
    )
    only_account: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """How notices of failures are sent: by command (empty: none), by webhook (None: none), or both.

    `state_folder` is where sent notices are remembered if the database cannot be asked; None where
    there is no such place. `environ` is what the command may see of the environment.
    """

    appid: str | None
    state_folder: Path | None
    environ: Mapping[str, str] = field(repr=False)
    command: tuple[str, ...] = setting(
        "SYNCJOB_ON_FAILURE",
        parsers.command("SYNCJOB_ON_FAILURE"),
        section="notices",
        unset=(),
        exposes=cannot_tell,
        is_command=True,
        reaches_others=True,
        example="/usr/local/bin/tell-somebody",
        help_en="a command that is run when runs begin to fail, and when they succeed again, "
        "without a shell",
        help_zh="开始失败时和恢复正常时要运行的命令，不经过 shell",
        see="notices",
    )
    webhook_url: Secret | None = setting(
        "SYNCJOB_WEBHOOK_URL",
        parsers.http_address("SYNCJOB_WEBHOOK_URL", "that of a bot or of a server of yours"),
        section="notices",
        exposes=any_text,  # a bot's address is its key, in the path or the query
        has_file=True,
        reaches_others=True,
        example="https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…",
        file_example="/etc/syncjob/webhook-url",
        help_en="an address that the same notice is posted to: a bot's, or your server's",
        help_zh="同样的内容要 POST 到的地址：机器人的，或你自己的服务器的",
    )
    webhook_format: WebhookFormat = setting(
        "SYNCJOB_WEBHOOK_FORMAT",
        parsers.one_of(get_args(WebhookFormat)),
        "auto",
        section="notices",
        help_en="the format of that: `json`, `wecom`, `dingtalk`, `feishu`, `slack`; `auto` "
        "chooses by the host",
        help_zh="用哪种格式：`json`、`wecom`、`dingtalk`、`feishu`、`slack`；`auto` 按主机名判断",
    )

    @property
    def has_channel(self) -> bool:
        """Tell whether there is a channel."""
        return bool(self.command) or self.webhook_url is not None


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Which database, and which account in it (None: the only one there is).

    `only_account` is the only one that the database may hold; None: it may hold any.
    """

    database_url: Secret
    database_patience: float
    appid: str | None
    only_account: str | None = None


SHARED, OF_ACCOUNT, OF_NOTICES = map(rows_of, (Settings, AccountSettings, NoticeSettings))
SETTINGS: tuple[Setting, ...] = tuple(
    sorted(
        (*OF_ACCOUNT.values(), *SHARED.values(), *OF_NOTICES.values()),
        key=lambda row: list(SECTIONS).index(row.section),
    )
)
BY_NAME = {row.name: row for row in SETTINGS}
SETTING_NAMES = frozenset(name for row in SETTINGS for name in row.names)
