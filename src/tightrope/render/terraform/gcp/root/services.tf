# Functions and containers on Cloud Run: paid by the request where the plan says so (the CPU is taken away between requests), by the instance
# else. Called with IAM, and from inside the project's networks alone.

resource "google_cloud_run_v2_service" "pool" {
  for_each = local.services

  name                = each.value.name
  location            = each.value.region
  description         = "Pool ${each.key}: ${each.value.size}"
  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  deletion_protection = var.deletion_protection
  labels              = merge(local.labels, each.value.labels)

  template {
    service_account                  = google_service_account.serve.email
    max_instance_request_concurrency = each.value.concurrency
    timeout                          = "${each.value.timeout_s}s"
    encryption_key                   = lookup(var.kms_keys, each.value.region, null)
    labels                           = merge(local.labels, each.value.labels)

    scaling {
      min_instance_count = each.value.min
      max_instance_count = each.value.max
    }

    containers {
      image = var.images[each.value.variant].image
      args  = var.images[each.value.variant].arguments

      ports {
        container_port = var.images[each.value.variant].port
      }

      resources {
        limits            = { cpu = each.value.cpu, memory = each.value.memory }
        cpu_idle          = each.value.cpu_idle
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(each.value.environment, var.images[each.value.variant].environment)

        content {
          name  = env.key
          value = env.value
        }
      }

      startup_probe {
        period_seconds    = 2
        failure_threshold = 120

        http_get {
          path = var.images[each.value.variant].health_path
        }
      }

      liveness_probe {
        period_seconds = 30

        http_get {
          path = var.images[each.value.variant].health_path
        }
      }
    }
  }

  # The floor of each hour is set by the jobs below; Terraform keeps the week's least, in the template.
  lifecycle {
    ignore_changes = [scaling]
  }
}

# ------------------------------------------------------------------------------- the week's schedule: Cloud Run has none of its own

locals {
  jobs = merge([
    for key, service in local.services : {
      for name, entry in service.schedule : "${key}/${name}" => merge(entry, { pool = key, region = service.region, name = "${service.name}-${name}" })
    }
  ]...)
}

resource "google_service_account" "schedule" {
  count = length(local.jobs) > 0 ? 1 : 0

  account_id   = "${substr(var.account_id, 0, 24)}-hours"
  display_name = "Sets the least instances of ${var.workload}"
}

resource "google_cloud_run_v2_service_iam_member" "schedule" {
  for_each = toset([for job in values(local.jobs) : job.pool])

  location = google_cloud_run_v2_service.pool[each.key].location
  name     = google_cloud_run_v2_service.pool[each.key].name
  role     = "roles/run.developer"
  member   = google_service_account.schedule[0].member
}

# To change a service is to run as its account.
resource "google_service_account_iam_member" "schedule" {
  count = length(local.jobs) > 0 ? 1 : 0

  service_account_id = google_service_account.serve.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.schedule[0].member
}

resource "google_cloud_scheduler_job" "floor" {
  for_each = local.jobs

  name             = each.value.name
  region           = each.value.region
  description      = "At least ${each.value.machines} instances, as planned"
  schedule         = each.value.cron
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  retry_config {
    retry_count = 5
  }

  http_target {
    http_method = "PATCH"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_service.pool[each.value.pool].id}?updateMask=scaling.minInstanceCount"
    body        = base64encode(jsonencode({ scaling = { minInstanceCount = each.value.machines } }))
    headers     = { "Content-Type" = "application/json" }

    oauth_token {
      service_account_email = google_service_account.schedule[0].email
    }
  }
}

output "services" {
  description = "Pool => where its service answers; a caller needs roles/run.invoker."
  value       = { for key, service in google_cloud_run_v2_service.pool : key => service.uri }
}
