# Logs of the machines and services, kept as long as you say and no longer, and not twice.

locals {
  log_filter = join(" OR ", concat(
    ["(resource.type=\"k8s_container\" AND resource.labels.namespace_name=\"${var.kubernetes_service_account.namespace}\")"],
    [for service in values(var.services) : "(resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${service.name}\")"],
    [for pool in values(var.pools) : "labels.\"compute.googleapis.com/resource_name\"=~\"^${pool.name}-[a-z0-9]+$\""],
  ))
}

resource "google_logging_project_bucket_config" "workload" {
  project        = var.project_id
  location       = "global"
  bucket_id      = var.account_id
  description    = "Logs of ${var.workload}"
  retention_days = var.log_retention_days
}

resource "google_logging_project_sink" "workload" {
  name                   = var.account_id
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.workload.id}"
  filter                 = local.log_filter
  unique_writer_identity = true
}

resource "google_logging_project_exclusion" "workload" {
  name        = var.account_id
  description = "In a bucket of their own"
  filter      = local.log_filter
}
