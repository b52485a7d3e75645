-- The table of the contenders that do not make one of their own: WeChat's fields as syncjob has them.
CREATE TABLE followers (
    account_id      integer NOT NULL,
    openid          text NOT NULL,
    subscribe       boolean NOT NULL,
    nickname        text,
    sex             smallint,
    language        text,
    city            text,
    province        text,
    country         text,
    headimgurl      text,
    subscribe_time  datetime,
    unionid         text,
    remark          text,
    groupid         bigint,
    tagid_list      json,
    subscribe_scene text,
    qr_scene        bigint,
    qr_scene_str    text,
    PRIMARY KEY (account_id, openid)
);
