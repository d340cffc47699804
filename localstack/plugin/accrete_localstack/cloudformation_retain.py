"""LocalStack plugin: DeletionPolicy and UpdateReplacePolicy, which its CloudFormation doesn't heed: it would delete what is to stay."""

from localstack.runtime import hooks
from localstack.services.cloudformation.engine.v2.change_set_model import ChangeAction
from localstack.services.cloudformation.engine.v2.change_set_model_executor import ChangeSetModelExecutor
from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent

KEEPING = ("Retain", "RetainExceptOnCreate")


def is_kept(executor, name, part_of_replacement):
    """By the template that is deployed: that of a change set takes its place when it has been executed."""
    template = executor._change_set.stack.processed_template or {}
    resource = template.get("Resources", {}).get(name, {})
    return resource.get("UpdateReplacePolicy" if part_of_replacement else "DeletionPolicy") in KEEPING


@hooks.on_infra_start()
def heed_policies():
    execute, process_event = ChangeSetModelExecutor._execute_resource_action, ChangeSetModelExecutor._process_event

    def execute_or_keep(self, action, logical_resource_id, *args, part_of_replacement=False, **kwargs):
        if action == ChangeAction.Remove and is_kept(self, logical_resource_id, part_of_replacement):
            return ProgressEvent(status=OperationStatus.SUCCESS, resource_model={}, message="kept")
        return execute(self, action, logical_resource_id, *args, part_of_replacement=part_of_replacement, **kwargs)

    def tell(self, *, action, logical_resource_id, event_status, resource_type, special_action=None, reason=None):
        if action == ChangeAction.Remove and event_status == OperationStatus.SUCCESS and reason == "kept":
            # as AWS tells it, which cdk prints
            self._change_set.stack.set_resource_status(
                logical_resource_id=logical_resource_id,
                physical_resource_id=self._get_physical_id(logical_resource_id, False),
                resource_type=resource_type,
                status="DELETE_SKIPPED",
            )
            return
        process_event(
            self,
            action=action,
            logical_resource_id=logical_resource_id,
            event_status=event_status,
            resource_type=resource_type,
            special_action=special_action,
            reason=reason,
        )

    ChangeSetModelExecutor._execute_resource_action = execute_or_keep
    ChangeSetModelExecutor._process_event = tell
