# Who the machines and services are, and the little that they may do.

resource "google_service_account" "serve" {
  account_id   = var.account_id
  display_name = "Serves ${var.workload}"
}

resource "google_project_iam_member" "serve" {
  for_each = toset([
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
  ])

  project = var.project_id
  role    = each.key
  member  = google_service_account.serve.member
}

# Images: read only those of this project's Artifact Registry.
resource "google_project_iam_member" "images" {
  project = var.project_id
  role    = "roles/artifactregistry.reader"
  member  = google_service_account.serve.member
}

resource "google_storage_bucket_iam_member" "models" {
  count = var.model_bucket == null ? 0 : 1

  bucket = var.model_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.serve.member

  condition {
    title      = "models-only"
    expression = "resource.name.startsWith(${jsonencode("projects/_/buckets/${var.model_bucket}/objects/${var.model_prefix}")})"
  }
}
