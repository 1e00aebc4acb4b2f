# terraform test: the caps of pools of machines, in both ways to run them.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }
}

run "vm" {
  command = plan

  variables {
    run_on = "vm"
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_autoscaling_group.pool[key].max_size == pool.most && aws_autoscaling_group.pool[key].min_size >= pool.least && aws_autoscaling_group.pool[key].min_size <= pool.most])
    error_message = "A group is not bounded as the plan bounds its pool."
  }

  assert {
    condition     = alltrue([for entry in aws_autoscaling_schedule.pool : entry.max_size <= max([for pool in var.machines : pool.most]...) && entry.min_size <= entry.max_size])
    error_message = "A scheduled action asks for more than the plan's most."
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_autoscaling_group.pool[key].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == (pool.spot ? 0 : 100)])
    error_message = "A pool's share of spot machines is not the plan's."
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_launch_template.pool[key].metadata_options[0].http_tokens == "required" && aws_launch_template.pool[key].metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "A machine answers for its credentials without a session token, or to more than itself."
  }

  assert {
    condition     = alltrue([for template in aws_launch_template.pool : alltrue([for disk in template.block_device_mappings : tobool(disk.ebs[0].encrypted)])])
    error_message = "A disk is not encrypted."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.cidr) + length(aws_vpc_security_group_ingress_rule.group) == 0
    error_message = "Something may ask the balancers that no setting names."
  }

  assert {
    condition     = alltrue([for balancer in aws_lb.pools : balancer.internal])
    error_message = "A balancer is open to the internet."
  }
}

run "expiry" {
  command = plan

  variables {
    expires_on = "2030-01-31"
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_autoscaling_schedule.expiry[key].max_size == 0])
    error_message = "A group goes on after expires_on."
  }

  assert {
    condition     = alltrue([for entry in aws_autoscaling_schedule.pool : entry.end_time == "2030-01-31T00:00:00Z"])
    error_message = "A calendar goes on after expires_on."
  }
}

run "expired" {
  command = plan

  variables {
    expires_on = "2020-01-31"
  }

  assert {
    condition     = alltrue([for group in aws_autoscaling_group.pool : group.min_size == 0 && group.max_size == 0]) && length(aws_autoscaling_schedule.pool) + length(aws_autoscaling_schedule.expiry) == 0
    error_message = "An apply after expires_on brings back what went to zero."
  }
}

run "kubernetes" {
  command = plan

  variables {
    run_on = "kubernetes"
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_eks_node_group.pool[key].scaling_config[0].max_size == pool.most + 1 && aws_eks_node_group.pool[key].scaling_config[0].min_size >= pool.least && aws_eks_node_group.pool[key].scaling_config[0].min_size <= pool.most])
    error_message = "A node group is not bounded as the plan bounds its pool, and one node for an update."
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_eks_node_group.pool[key].capacity_type == (pool.spot ? "SPOT" : "ON_DEMAND")])
    error_message = "A node group is not of the plan's offer."
  }

  assert {
    condition     = alltrue([for key, pool in var.machines : aws_launch_template.node[key].metadata_options[0].http_tokens == "required"])
    error_message = "A node answers for its credentials without a session token."
  }

  assert {
    condition     = alltrue([for cluster in aws_eks_cluster.this : !cluster.vpc_config[0].endpoint_public_access])
    error_message = "A cluster is open to the internet."
  }
}

run "whole_internet_is_refused" {
  command = plan

  variables {
    allowed_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.allowed_cidrs]
}
