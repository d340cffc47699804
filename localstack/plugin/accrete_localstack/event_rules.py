"""LocalStack plugin: a rule of EventBridge that is disabled sends nothing. LocalStack keeps the state, and heeds it nowhere."""

from localstack.runtime import hooks
from localstack.services.events.provider import EventsProvider


@hooks.on_infra_start()
def heed_disabled_rules():
    process = EventsProvider._process_rules

    def process_enabled(self, rule, *args, **kwargs):
        if rule.state != "DISABLED":
            process(self, rule, *args, **kwargs)

    EventsProvider._process_rules = process_enabled
