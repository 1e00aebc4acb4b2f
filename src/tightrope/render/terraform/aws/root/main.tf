data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  regions   = toset(var.plan.regions)

  tags = merge(
    var.tags,
    {
      workload    = var.plan.workload_label
      managed-by  = "tightrope"
      team        = var.team
      environment = var.environment
      cost-centre = var.cost_centre
    },
    var.expires_on == "" ? {} : { expires-on = var.expires_on },
  )

  # Scheduled actions end here, and one more takes every group to zero. Null: never.
  expiry  = var.expires_on == "" ? null : "${var.expires_on}T00:00:00Z"
  expired = timecmp(plantimestamp(), coalesce(local.expiry, "9999-12-31T00:00:00Z")) >= 0

  # What the calendar has set by now, so that an apply begins with it, and changes nothing where the plan has not changed: the hour's floor, or
  # that of the hour for which machines are asked already.
  floors = {
    for key, pool in merge(var.machines, var.containers) : key => local.expired ? 0 : max([
      for at in [plantimestamp(), timeadd(plantimestamp(), "${ceil(pool.start_s / 60) % 60}m")] :
      tonumber(split(" ", pool.week[formatdate("EEE", at)])[tonumber(formatdate("h", at))])
    ]...)
  }
  mosts = { for key, pool in merge(var.machines, var.containers) : key => local.expired ? 0 : pool.most }

  variants = merge(
    { for key, pool in var.machines : key => pool.variant },
    { for key, pool in var.containers : key => pool.variant },
    { for key, pool in var.functions : key => pool.variant },
  )
  images = { for key, variant in local.variants : key => try(var.images[key], var.images[variant]) }

  # Of images in ECR: the registry, and the one repository that may be read.
  registries   = { for key, image in local.images : key => try(regex("^\\d{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(?:\\.cn)?", image.image), null) }
  repositories = distinct([for parts in [for image in local.images : try(regex("^(\\d{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", image.image), null)] : "arn:${local.partition}:ecr:${parts[1]}:${parts[0]}:repository/${parts[2]}" if parts != null])

  # Rights that all engines share: their image, and the models.
  may_pull = [for right in [
    {
      Effect   = "Allow"
      Action   = "ecr:GetAuthorizationToken"
      Resource = "*" # the action takes no other
    },
    {
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = local.repositories
    },
  ] : right if length(local.repositories) > 0]
  may_read_models = [for right in [
    {
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = "arn:${local.partition}:s3:::${coalesce(var.model_bucket, "none")}/${var.model_prefix}*"
    },
    {
      Effect    = "Allow"
      Action    = "s3:ListBucket"
      Resource  = "arn:${local.partition}:s3:::${coalesce(var.model_bucket, "none")}"
      Condition = { StringLike = { "s3:prefix" = "${var.model_prefix}*" } }
    },
  ] : right if var.model_bucket != null]
}

# One key a region, for logs and notifications.
resource "aws_kms_key" "this" {
  for_each = local.regions

  region                  = each.key
  description             = "Logs and notifications of ${var.plan.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Effect    = "Allow"
        Principal = { Service = "logs.${each.key}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${each.key}:${local.account}:log-group:*" } }
      },
      {
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}

# What the engines write.
resource "aws_cloudwatch_log_group" "pool" {
  #checkov:skip=CKV_AWS_338:days are a setting (log_retention_days); a year of engine logs is seldom worth its price
  for_each = merge(
    { for key, pool in var.machines : key => { region = pool.region, labels = pool.labels } },
    { for key, pool in var.containers : key => { region = pool.region, labels = pool.labels } },
    { for key, pool in var.functions : key => { region = pool.region, labels = pool.labels } },
  )

  region            = each.value.region
  name              = "/tightrope/${var.plan.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this[each.value.region].arn
  tags              = each.value.labels
}
