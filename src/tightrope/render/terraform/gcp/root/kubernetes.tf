# Pools of machines as GKE node pools, where run_on is "kubernetes": each has the label and the taint tightrope.dev/pool, which the pods of
# the Kubernetes target select and tolerate. The week's schedule is theirs: nodes follow the pods, from the plan's least on.

resource "google_service_account" "node" {
  count = length(local.cluster_regions) > 0 ? 1 : 0

  account_id   = "${substr(var.account_id, 0, 24)}-nodes"
  display_name = "Nodes of ${var.workload}"
}

resource "google_project_iam_member" "node" {
  for_each = length(local.cluster_regions) > 0 ? toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"]) : toset([])

  project = var.project_id
  role    = each.key
  member  = google_service_account.node[0].member
}

# Pods are the account that serves, without a key.
resource "google_service_account_iam_member" "pods" {
  count = length(local.cluster_regions) > 0 ? 1 : 0

  service_account_id = google_service_account.serve.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${var.kubernetes_service_account.namespace}/${var.kubernetes_service_account.name}]"
}

resource "google_container_cluster" "region" {
  #checkov:skip=CKV_GCP_21:It has labels (resource_labels), which are computed.
  #checkov:skip=CKV_GCP_65:Groups for RBAC are the organisation's to set up; access is by IAM until then.
  #checkov:skip=CKV_GCP_66:Binary authorisation needs a policy that only the organisation can write.
  #checkov:skip=CKV_GCP_12:Dataplane V2 enforces network policies itself; the older provider excludes it.
  #checkov:skip=CKV_GCP_69:The cluster's default pool is removed; every pool sets GKE_METADATA itself.
  for_each = setsubtract(local.cluster_regions, keys(var.existing_clusters))

  name                        = var.account_id
  location                    = each.key
  network                     = var.network
  subnetwork                  = var.subnetworks[each.key]
  remove_default_node_pool    = true
  initial_node_count          = 1
  deletion_protection         = var.deletion_protection
  datapath_provider           = "ADVANCED_DATAPATH"
  enable_intranode_visibility = true
  enable_shielded_nodes       = true
  resource_labels             = local.labels

  ip_allocation_policy {}

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
    master_ipv4_cidr_block  = lookup(var.master_cidrs, each.key, null)
  }

  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false

    dynamic "cidr_blocks" {
      for_each = var.allowed_cidrs

      content {
        cidr_block = cidr_blocks.value
      }
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  release_channel {
    channel = "REGULAR"
  }

  # Costs by namespace and label, in the billing export.
  cost_management_config {
    enabled = true
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]

    managed_prometheus {
      enabled = true
    }
  }

  dynamic "database_encryption" {
    for_each = compact([lookup(var.kms_keys, each.key, null)])

    content {
      state    = "ENCRYPTED"
      key_name = database_encryption.value
    }
  }
}

resource "google_container_node_pool" "pool" {
  for_each = local.nodes

  name               = each.value.name
  location           = each.value.region
  cluster            = lookup(var.existing_clusters, each.value.region, null) == null ? google_container_cluster.region[each.value.region].id : var.existing_clusters[each.value.region]
  initial_node_count = null
  node_locations     = lookup(var.zones, each.value.region, null)

  autoscaling {
    total_min_node_count = each.value.min
    total_max_node_count = each.value.max + 1 # one for the pod that a rolling update adds; load asks for none, as pods keep to the most
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type    = each.value.machine
    spot            = each.value.spot
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.node[0].email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = { "tightrope.dev/pool" = each.value.node_label }
    resource_labels = merge(local.labels, each.value.labels)

    boot_disk_kms_key = lookup(var.kms_keys, each.value.region, null)

    boot_disk {
      disk_type = each.value.disk_type
      size_gb   = ceil(var.disk_gb)
    }

    taint {
      key    = "tightrope.dev/pool"
      value  = each.value.node_label
      effect = "NO_SCHEDULE"
    }

    dynamic "guest_accelerator" {
      for_each = compact([each.value.attach])

      content {
        type  = guest_accelerator.value
        count = each.value.accelerators

        gpu_driver_installation_config {
          gpu_driver_version = "DEFAULT"
        }
      }
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

# Nodes without a taint, for what every cluster runs itself.
resource "google_container_node_pool" "system" {
  for_each = google_container_cluster.region

  name       = "system"
  location   = each.key
  cluster    = each.value.id
  node_count = var.system_nodes.per_zone

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type      = var.system_nodes.machine
    image_type        = "COS_CONTAINERD"
    service_account   = google_service_account.node[0].email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    resource_labels   = merge(local.labels, { pool = "system" })
    boot_disk_kms_key = lookup(var.kms_keys, each.key, null)

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

output "clusters" {
  description = "Region => cluster that the node pools are of."
  value       = merge({ for region, cluster in google_container_cluster.region : region => cluster.id }, var.existing_clusters)
}

output "node_pools" {
  description = "Pool => its node pool."
  value       = { for key, pool in google_container_node_pool.pool : key => pool.id }
}
