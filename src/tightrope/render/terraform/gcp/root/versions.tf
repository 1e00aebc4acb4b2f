terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project        = var.project_id
  default_labels = local.labels

  # The budget is an interface of billing, which is to be paid by a project: this one.
  billing_project       = var.project_id
  user_project_override = true
}
