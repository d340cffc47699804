"""LocalStack plugin: what was asked of it and by whom, a JSON line for each call, where ACCRETE_RECORD_CALLS names a file.

The input is as botocore parses it, so with the names that every SDK has. Bodies are left out.
"""

import json
import os
import threading
import time

from localstack.aws import handlers
from localstack.runtime import hooks
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header
from moto.sts.models import sts_backends

writing = threading.Lock()


def role_of(account, key):
    """The ARN of the role whose credentials have this key; None of a user's, and of LocalStack's own."""
    role = key and sts_backends[account]["aws"].get_assumed_role_from_access_key(key)
    return role.role_arn if role else None


def line_of(context, response):
    key = extract_access_key_id_from_auth_header(context.request.headers)
    return json.dumps(
        {
            "ms": time.time() * 1000,
            "key": key,
            "role": role_of(context.account_id, key),
            "internal": context.is_internal_call,
            "service": context.service.service_name,
            "command": context.operation.name,
            "status": response.status_code,
            "input": {name: one for name, one in (context.service_request or {}).items() if isinstance(one, (str, int, float, bool))},
        }
    )


@hooks.on_infra_start(should_load=lambda: bool(os.environ.get("ACCRETE_RECORD_CALLS")))
def record_calls():
    file = open(os.environ["ACCRETE_RECORD_CALLS"], "a", buffering=1)

    def record(chain, context, response):
        if context.operation is not None:
            line = line_of(context, response)
            with writing:
                file.write(line + "\n")

    handlers.run_custom_response_handlers.append(record)
