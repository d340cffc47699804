"""LocalStack plugin: Fn::Cidr, which its CloudFormation doesn't know."""

from ipaddress import ip_network
from itertools import islice

from localstack.runtime import hooks
from localstack.services.cloudformation.engine.v2 import change_set_model
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import ChangeSetModelPreproc
from localstack.services.cloudformation.engine.v2.change_set_model_visitor import ChangeSetModelVisitor


def cidr_blocks(arguments):
    """[block, count, bits of each block's addresses] -> blocks; as on AWS as many as were asked for, or an error."""
    block, count, *bits = arguments
    network = ip_network(block)
    size = int(bits[0]) if bits else 8
    blocks = [str(one) for one in islice(network.subnets(new_prefix=network.max_prefixlen - size), int(count))]
    if len(blocks) < int(count):
        raise RuntimeError(f"Fn::Cidr: {block} has no {count} blocks of {size} bits")
    return blocks


def visit_fn_cidr(self, node):
    arguments = self.visit(node.arguments)
    return self._cached_apply(scope=node.scope, arguments_delta=arguments, resolver=cidr_blocks)


@hooks.on_infra_start()
def add_fn_cidr():
    change_set_model.INTRINSIC_FUNCTIONS.add("Fn::Cidr")
    ChangeSetModelVisitor.visit_node_intrinsic_function_fn_cidr = lambda self, node: self.visit_children(node)
    ChangeSetModelPreproc.visit_node_intrinsic_function_fn_cidr = visit_fn_cidr
