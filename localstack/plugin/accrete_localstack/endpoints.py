"""LocalStack plugin: what it asks itself goes to where ACCRETE_INSIDE_URL says: events that a bucket or rule sends on, queues that a function's
event source mapping reads. So a proxy can hold them back."""

import os

from localstack.aws import connect
from localstack.runtime import hooks


@hooks.on_infra_start()
def ask_by_a_proxy():
    url = os.environ.get("ACCRETE_INSIDE_URL")
    if url:
        connect.get_service_endpoint = lambda: url
