/**
 * Where jobs run, for whoever has no VPC: public subnets with no way in, and S3 by a gateway endpoint. No NAT gateway and no interface
 * endpoint: those cost $30 a month and more where nothing is trained. By L1: the L2's VPC looks zones up, or makes a custom resource.
 */
import { CfnCondition, Fn, Stack, Tags, Token, Validations } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";

const RANGE = "10.42.0.0/16";
/** The more zones, the more often a machine is to be had. */
const ZONES = 3;
/** The only region with two. */
const SMALL_REGION = "us-west-1";

/** A VPC that exists. */
export interface Network {
  readonly vpcId: string;
  /** they need a way to S3, ECS, ECR and CloudWatch Logs */
  readonly subnetIds: readonly string[];
}

export class PublicNetwork extends Construct implements Network {
  readonly vpcId: string;
  readonly subnetIds: readonly string[];

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const { region } = Stack.of(this);
    const vpc = new ec2.CfnVPC(this, "Vpc", { cidrBlock: RANGE, enableDnsHostnames: true, enableDnsSupport: true });
    Validations.of(vpc).acknowledge({
      id: "AwsSolutions-VPC7",
      reason:
        "Flow logs cost by the gigabyte of training data, and nothing in this network listens: no security group lets anything in.",
    });
    Tags.of(vpc).add("Name", this.node.path);
    const gateway = new ec2.CfnInternetGateway(this, "Gateway");
    const attached = new ec2.CfnVPCGatewayAttachment(this, "Attachment", {
      vpcId: vpc.ref,
      internetGatewayId: gateway.ref,
    });
    const routes = new ec2.CfnRouteTable(this, "Routes", { vpcId: vpc.ref });
    const out = new ec2.CfnRoute(this, "Out", {
      routeTableId: routes.ref,
      destinationCidrBlock: "0.0.0.0/0",
      gatewayId: gateway.ref,
    });
    out.addResourceDependency(attached);
    new ec2.CfnVPCEndpoint(this, "S3", {
      vpcId: vpc.ref,
      vpcEndpointType: "Gateway",
      serviceName: `com.amazonaws.${region}.s3`,
      routeTableIds: [routes.ref],
    });
    const third = Token.isUnresolved(region) ? this.#whereThereIsAThird(region) : undefined;
    const zones = region === SMALL_REGION ? ZONES - 1 : ZONES;
    this.vpcId = vpc.ref;
    this.subnetIds = Array.from({ length: zones }, (_, zone) => {
      const subnet = new ec2.CfnSubnet(this, `Subnet${zone + 1}`, {
        vpcId: vpc.ref,
        cidrBlock: Fn.select(zone, Fn.cidr(RANGE, 16, "12")),
        availabilityZone: Fn.select(zone, Fn.getAzs(region)),
        mapPublicIpOnLaunch: true,
      });
      const joined = new ec2.CfnSubnetRouteTableAssociation(this, `Joined${zone + 1}`, {
        subnetId: subnet.ref,
        routeTableId: routes.ref,
      });
      if (zone < 2 || third === undefined) return subnet.ref;
      subnet.cfnOptions.condition = third;
      joined.cfnOptions.condition = third;
      return Fn.conditionIf(third.logicalId, subnet.ref, Fn.ref("AWS::NoValue")).toString();
    });
  }

  /** Of a stack that may be deployed anywhere. */
  #whereThereIsAThird(region: string): CfnCondition {
    return new CfnCondition(this, "ThirdZone", {
      expression: Fn.conditionNot(Fn.conditionEquals(region, SMALL_REGION)),
    });
  }
}

/** Nothing comes in; out goes HTTPS, which is all that S3, ECS, ECR and CloudWatch need. */
export function jobSecurityGroup(scope: Construct, id: string, vpcId: string): ec2.CfnSecurityGroup {
  return new ec2.CfnSecurityGroup(scope, id, {
    groupDescription: "accrete: jobs. Nothing comes in, HTTPS goes out",
    vpcId,
    securityGroupEgress: [{ ipProtocol: "tcp", fromPort: 443, toPort: 443, cidrIp: "0.0.0.0/0", description: "HTTPS" }],
  });
}
