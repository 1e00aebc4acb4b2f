# Pools of machines as node groups of a cluster (run_on = "kubernetes"). What runs on them is the target `kubernetes`, which finds a pool's
# nodes by the label tightrope.dev/pool: a cluster may run several workloads, so the workload's name is in it.

variable "cluster_names" {
  description = "Region => name of a cluster that is there. Where none is named, one is made."
  type        = map(string)
  default     = {}
}

variable "kubernetes_version" {
  description = "Version of the clusters made here; null is the newest that Amazon takes by default."
  type        = string
  default     = null
}

variable "system_nodes" {
  description = "Machines of a new cluster for what a cluster itself needs (DNS, metrics): the plan does not pay for these."
  type        = object({ machine = string, ami_type = string, count = number })
  default     = { machine = "t4g.small", ami_type = "AL2023_ARM_64_STANDARD", count = 2 }
}

locals {
  noded    = { for key, pool in var.machines : key => pool if var.run_on == "kubernetes" }
  clusters = toset([for pool in local.noded : pool.region])
  made     = toset([for region in local.clusters : region if !contains(keys(var.cluster_names), region)])
  names    = { for region in local.clusters : region => contains(local.made, region) ? aws_eks_cluster.this[region].name : var.cluster_names[region] }
}

resource "aws_iam_role" "cluster" {
  count = length(local.made) > 0 ? 1 : 0

  name_prefix = "${var.plan.name}-cluster-"
  description = "Control planes of ${var.plan.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  count = length(local.made) > 0 ? 1 : 0

  role       = aws_iam_role.cluster[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  for_each = local.made

  region                    = each.key
  name                      = var.plan.name
  role_arn                  = aws_iam_role.cluster[0].arn
  version                   = var.kubernetes_version
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  deletion_protection       = var.deletion_protection

  access_config {
    authentication_mode = "API"
  }

  vpc_config {
    subnet_ids              = var.networks[each.key].subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.this[each.key].arn
    }
  }

  depends_on = [aws_iam_role_policy_attachment.cluster, aws_cloudwatch_log_group.cluster]
}

resource "aws_cloudwatch_log_group" "cluster" {
  #checkov:skip=CKV_AWS_338:days are a setting (log_retention_days)
  for_each = local.made

  region            = each.key
  name              = "/aws/eks/${var.plan.name}/cluster"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this[each.key].arn
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = length(local.noded) > 0 ? toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"]) : toset([])

  role       = aws_iam_role.machines.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}

resource "aws_launch_template" "node" {
  #checkov:skip=CKV_AWS_341:2 hops, because a pod's network is one hop from its node and reads models by the node's role
  for_each = local.noded

  region                 = each.value.region
  name                   = "${var.plan.name}-${each.key}-node"
  description            = "Nodes of the pool ${each.key}"
  update_default_version = true
  ebs_optimized          = true
  tags                   = each.value.labels

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.plan.disk_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, each.value.labels, { Name = "${var.plan.name}-${each.key}" })
    }
  }
}

resource "aws_eks_node_group" "pool" {
  for_each = local.noded

  region          = each.value.region
  cluster_name    = local.names[each.value.region]
  node_group_name = "${var.plan.name}-${each.key}"
  node_role_arn   = aws_iam_role.machines.arn
  subnet_ids      = var.networks[each.value.region].subnet_ids
  ami_type        = each.value.ami_type
  capacity_type   = each.value.spot ? "SPOT" : "ON_DEMAND"
  instance_types  = concat([each.value.machine], each.value.spot ? lookup(var.also_types, each.key, []) : [])
  tags            = each.value.labels

  labels = merge(
    { "tightrope.dev/pool" = "${var.plan.name}.${each.key}" },
    { for name, value in each.value.labels : "tightrope.dev/${name}" => value if name != "pool" },
  )

  taint {
    key    = "tightrope.dev/pool"
    value  = "${var.plan.name}.${each.key}"
    effect = "NO_SCHEDULE"
  }

  launch_template {
    id      = aws_launch_template.node[each.key].id
    version = aws_launch_template.node[each.key].latest_version
  }

  scaling_config {
    min_size     = local.floors[each.key]
    desired_size = local.floors[each.key]
    max_size     = each.value.most + 1 # one for the pod that a rolling update adds; load asks for none, as pods keep to the most
  }

  update_config {
    max_unavailable = 1
  }

  node_repair_config {
    enabled = true
  }

  lifecycle {
    ignore_changes = [scaling_config[0].min_size, scaling_config[0].desired_size] # which the schedule and the cluster's autoscaler change
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_launch_template" "system" {
  #checkov:skip=CKV_AWS_341:2 hops, because a pod's network is one hop from its node
  for_each = local.made

  region                 = each.key
  name                   = "${var.plan.name}-system-node"
  description            = "What a cluster itself needs"
  update_default_version = true

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = 20
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, { pool = "system", Name = "${var.plan.name}-system" })
    }
  }
}

resource "aws_eks_node_group" "system" {
  for_each = local.made

  region          = each.key
  cluster_name    = aws_eks_cluster.this[each.key].name
  node_group_name = "system"
  node_role_arn   = aws_iam_role.machines.arn
  subnet_ids      = var.networks[each.key].subnet_ids
  ami_type        = var.system_nodes.ami_type
  instance_types  = [var.system_nodes.machine]

  launch_template {
    id      = aws_launch_template.system[each.key].id
    version = aws_launch_template.system[each.key].latest_version
  }

  scaling_config {
    min_size     = var.system_nodes.count
    desired_size = var.system_nodes.count
    max_size     = var.system_nodes.count + 1
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_autoscaling_schedule" "node" {
  for_each = { for name, entry in local.schedules : name => entry if var.run_on == "kubernetes" }

  region                 = var.machines[each.value.pool].region
  autoscaling_group_name = aws_eks_node_group.pool[each.value.pool].resources[0].autoscaling_groups[0].name
  scheduled_action_name  = each.key
  recurrence             = each.value.cron
  time_zone              = "Etc/UTC"
  min_size               = each.value.machines
  max_size               = var.machines[each.value.pool].most + 1
  desired_capacity       = -1
  end_time               = local.expiry

  lifecycle {
    ignore_changes = [start_time] # AWS writes the next time there
  }
}

resource "aws_autoscaling_schedule" "node_expiry" {
  for_each = local.expiry == null || local.expired ? {} : local.noded

  region                 = each.value.region
  autoscaling_group_name = aws_eks_node_group.pool[each.key].resources[0].autoscaling_groups[0].name
  scheduled_action_name  = "expired"
  start_time             = local.expiry
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}

output "clusters" {
  description = "Region => name of the cluster that the node groups belong to."
  value       = local.names
}
