"""dlt_tuned with Arrow tables, which dlt loads unchanged.

Its documentation: "This method skips the regular dlt normalizer used for Python objects and is
several times faster." The ADBC driver loads Parquet with COPY. Of dlt only the thread pool, the
intermediate files and the loader are used.
"""

import dlt
import pyarrow as pa
from dlt.common import json

from benchmarks.contenders.dlt_tuned import fetch_users, load, openids

SCHEMA = pa.schema(
    [
        pa.field("openid", pa.string(), nullable=False),
        ("subscribe", pa.int64()),
        ("nickname", pa.string()),
        ("sex", pa.int64()),
        ("language", pa.string()),
        ("city", pa.string()),
        ("province", pa.string()),
        ("country", pa.string()),
        ("headimgurl", pa.string()),
        ("subscribe_time", pa.timestamp("us", "UTC")),
        ("unionid", pa.string()),
        ("remark", pa.string()),
        ("groupid", pa.int64()),
        ("tagid_list", pa.string()),
        ("subscribe_scene", pa.string()),
        ("qr_scene", pa.int64()),
        ("qr_scene_str", pa.string()),
    ]
)


@dlt.transformer(data_from=openids, parallelized=True, write_disposition="replace")
def followers(wanted: list[str]) -> pa.Table:
    """Return the profiles of these OpenIDs."""
    users = fetch_users(wanted)
    for user in users:
        user["tagid_list"] = json.dumps(user["tagid_list"])
        user["subscribe_time"] *= 1_000_000
    return pa.Table.from_pylist(users, schema=SCHEMA)


if __name__ == "__main__":
    load(followers(), "parquet", normalizers=1)  # there is nothing to normalize
