"""LocalStack plugin: the key in S3's events through EventBridge as it is. LocalStack has it URL-encoded, as only S3's own notifications do."""

from urllib.parse import unquote

from localstack.runtime import hooks
from localstack.services.s3.notifications import EventBridgeNotifier


@hooks.on_infra_start()
def name_keys_as_they_are():
    payload_of = EventBridgeNotifier._get_event_payload

    def with_key(ctx, config_id=None):
        ctx.key_name = unquote(ctx.key_name)
        return payload_of(ctx, config_id)

    EventBridgeNotifier._get_event_payload = staticmethod(with_key)
