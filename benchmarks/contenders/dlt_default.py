"""A dlt pipeline with the defaults of its documentation.

RESTClient reads the list with the cursor paginator, a transformer fetches the profiles, and the
pipeline merges them on the OpenID. No setting is changed; one column has a type, since dlt cannot
know that the number is a timestamp.
"""

import os
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

from benchmarks.contenders import fetch_token, read_task

task = read_task()
token = {"access_token": fetch_token(task)}
client = RESTClient(base_url=f"{task.wechat}/cgi-bin")
by_cursor = JSONResponseCursorPaginator(cursor_path="next_openid", cursor_param="next_openid")


@dlt.resource
def openids() -> Iterator[list[str]]:
    """Yield the OpenIDs of each page."""
    yield from client.paginate(
        "user/get",
        params=dict(token),
        paginator=by_cursor,
        data_selector="data.openid",
    )


@dlt.transformer(
    data_from=openids,
    write_disposition="merge",
    primary_key="openid",
    columns={"subscribe_time": {"data_type": "timestamp"}},
)
def followers(page: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield the profiles of a page, a hundred at a time."""
    for start in range(0, len(page), 100):
        wanted = [{"openid": openid, "lang": "zh_CN"} for openid in page[start : start + 100]]
        response = client.post("user/info/batchget", params=token, json={"user_list": wanted})
        yield response.json()["user_info_list"]


if __name__ == "__main__":
    pipeline = dlt.pipeline(
        pipeline_name="wechat",
        # A separate folder, so that a run finds no files of another.
        pipelines_dir=os.environ["BENCH_FOLDER"],
        destination=dlt.destinations.postgres(task.database),
        dataset_name="wechat",
    )
    pipeline.run(followers())
