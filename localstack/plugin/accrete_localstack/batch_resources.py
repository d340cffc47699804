"""LocalStack plugin: CloudFormation's AWS::Batch resources, by calls to the Batch server that AWS_ENDPOINT_URL_BATCH names.

Properties become arguments by the shapes of botocore's own model of Batch, so that one that Batch doesn't know fails the stack.
"""

import os

import boto3
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
)

NAME_MAX = 128
# what CloudFormation keeps to itself, or for an update
NOT_FOR_BATCH = ("ReplaceComputeEnvironment", "UpdatePolicy", "UpdateToLatestImageVersion", "ResourceRetentionPolicy")


def arguments(value, shape, path="", strict=True):
    """PascalCase to the API's names, texts to the API's types; keys of maps (tags, parameters, options) stay as they are."""
    if shape.type_name == "structure":
        members = {name.lower(): name for name in shape.members}
        converted = {}
        for key, one in value.items():
            name = members.get(key.lower())
            if name is not None:
                converted[name] = arguments(one, shape.members[name], f"{path}.{key}", strict)
            elif strict and key not in NOT_FOR_BATCH:
                raise ValueError(f"{path}.{key}: AWS Batch has no such property")
        return converted
    if shape.type_name == "list":
        return [arguments(one, shape.member, f"{path}[{at}]", strict) for at, one in enumerate(value)]
    if shape.type_name == "map":
        return {key: str(one) for key, one in value.items()}
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("float", "double"):
        return float(value)
    if shape.type_name == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return str(value)


class BatchProvider(ResourceProvider):
    """A resource whose Ref is its ARN, as that of all three is."""

    kind: str  # as in "computeEnvironmentArn"
    create_operation: str

    def client(self, request):
        return boto3.client(
            "batch",
            endpoint_url=os.environ["AWS_ENDPOINT_URL_BATCH"],
            region_name=request.region_name,
            aws_access_key_id=request.account_id,
            aws_secret_access_key="test",
        )

    @property
    def arn_property(self):
        return f"{self.kind[0].upper()}{self.kind[1:]}Arn"

    def call(self, client, operation, properties, strict=True):
        method = {v: k for k, v in client.meta.method_to_api_mapping.items()}[operation]
        shape = client.meta.service_model.operation_model(operation).input_shape
        own = {k: v for k, v in properties.items() if k != self.arn_property}
        return getattr(client, method)(**arguments(own, shape, operation, strict))

    def create(self, request):
        model = request.desired_state
        name = f"{self.arn_property.removesuffix('Arn')}Name"
        model.setdefault(name, f"{request.stack_name}-{request.logical_resource_id}"[:NAME_MAX])
        reply = self.call(self.client(request), self.create_operation, model)
        model[self.arn_property] = reply[f"{self.kind}Arn"]
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model)

    def read(self, request):
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=request.desired_state)


class ManagedProvider(BatchProvider):
    """A compute environment or a job queue: changed in place, and disabled before it is deleted."""

    update_operation: str
    delete_operation: str

    def update(self, request):
        model, arn = request.desired_state, request.previous_state[self.arn_property]
        # those that can't be changed are no part of the update's shape: CloudFormation would have replaced the resource
        changed = {self.kind: arn, **model}
        self.call(self.client(request), self.update_operation, changed, strict=False)
        model[self.arn_property] = arn
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model)

    def delete(self, request):
        client, arn = self.client(request), request.previous_state[self.arn_property]
        self.call(client, self.update_operation, {self.kind: arn, "State": "DISABLED"})
        self.call(client, self.delete_operation, {self.kind: arn})
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model={})


class ComputeEnvironmentProvider(ManagedProvider):
    TYPE = "AWS::Batch::ComputeEnvironment"
    kind = "computeEnvironment"
    create_operation = "CreateComputeEnvironment"
    update_operation = "UpdateComputeEnvironment"
    delete_operation = "DeleteComputeEnvironment"


class JobQueueProvider(ManagedProvider):
    TYPE = "AWS::Batch::JobQueue"
    kind = "jobQueue"
    create_operation = "CreateJobQueue"
    update_operation = "UpdateJobQueue"
    delete_operation = "DeleteJobQueue"


class JobDefinitionProvider(BatchProvider):
    """An update is a new revision, whose ARN is the new Ref."""

    TYPE = "AWS::Batch::JobDefinition"
    kind = "jobDefinition"
    create_operation = "RegisterJobDefinition"

    def update(self, request):
        previous, model = request.previous_state, request.desired_state
        model.setdefault("JobDefinitionName", previous["JobDefinitionName"])
        event = self.create(request)
        if str(model.get("ResourceRetentionPolicy", {}).get("SkipDeregisterOnUpdate", False)).lower() != "true":
            self.deregister(request)
        return event

    def delete(self, request):
        self.deregister(request)
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model={})

    def deregister(self, request):
        self.call(self.client(request), "DeregisterJobDefinition", {self.kind: request.previous_state[self.arn_property]})


def schema_of(provider):
    arn = f"{provider.kind[0].upper()}{provider.kind[1:]}Arn"
    pointer = f"/properties/{arn}"
    return {"typeName": provider.TYPE, "primaryIdentifier": [pointer], "readOnlyProperties": [pointer], "properties": {}}


for _provider in (ComputeEnvironmentProvider, JobQueueProvider, JobDefinitionProvider):
    _provider.SCHEMA = schema_of(_provider)


class ComputeEnvironmentPlugin(CloudFormationResourceProviderPlugin):
    name = ComputeEnvironmentProvider.TYPE

    def load(self):
        self.factory = ComputeEnvironmentProvider


class JobQueuePlugin(CloudFormationResourceProviderPlugin):
    name = JobQueueProvider.TYPE

    def load(self):
        self.factory = JobQueueProvider


class JobDefinitionPlugin(CloudFormationResourceProviderPlugin):
    name = JobDefinitionProvider.TYPE

    def load(self):
        self.factory = JobDefinitionProvider
