# Pools of machines as node pools of AKS, where run_on is kubernetes. What runs on them, and when how much, the target `kubernetes` says: its
# pods ask for nodes, and the cluster's autoscaler adds and removes them between the plan's limits.

variable "kubernetes_cluster_ids" {
  description = "Region => resource id of a cluster of yours that the node pools join. Where a region has none, one is made."
  type        = map(string)
  default     = {}
}

variable "system_machine" {
  description = "Machine of a new cluster's own two nodes, which are not in the plan's cost."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "api_server_cidrs" {
  description = "Who may reach a new cluster's API server beside its own network. It is private, unless stated."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.api_server_cidrs : can(cidrhost(block, 0)) && !endswith(block, "/0")])
    error_message = "Blocks such as 192.0.2.0/24; the whole internet is none."
  }
}

variable "admin_group_ids" {
  description = "Object ids of the groups in Entra that administer a new cluster."
  type        = list(string)
  default     = []
}

locals {
  node_pools = var.run_on == "kubernetes" ? var.pools : {}
  clusters   = setsubtract([for pool in local.node_pools : pool.region], keys(var.kubernetes_cluster_ids))

  cluster_ids = merge(var.kubernetes_cluster_ids, { for region, cluster in azurerm_kubernetes_cluster.region : region => cluster.id })
}

resource "azurerm_kubernetes_cluster" "region" {
  #checkov:skip=CKV_AZURE_117:disks are encrypted with the platform's key; one of your own needs a key vault, which is not the plan's to make
  #checkov:skip=CKV_AZURE_226:the plan states managed disks, and not every machine has a local one
  #checkov:skip=CKV_AZURE_6:the API server is private, unless api_server_cidrs names who may reach it
  #checkov:skip=CKV_AZURE_115:the API server is private, unless api_server_cidrs names who may reach it
  for_each = local.clusters

  name                      = "${var.workload}-${each.key}"
  resource_group_name       = azurerm_resource_group.region[each.key].name
  location                  = each.key
  dns_prefix                = var.workload
  sku_tier                  = "Standard"
  local_account_disabled    = true
  private_cluster_enabled   = length(var.api_server_cidrs) == 0
  azure_policy_enabled      = true
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  automatic_upgrade_channel = "stable"
  node_os_upgrade_channel   = "NodeImage"
  cost_analysis_enabled     = true
  tags                      = local.tags

  default_node_pool {
    name                         = "system"
    vm_size                      = var.system_machine
    node_count                   = 2
    zones                        = ["1", "2", "3"]
    vnet_subnet_id               = var.subnet_ids[each.key]
    only_critical_addons_enabled = true
    host_encryption_enabled      = true
    max_pods                     = 110
    tags                         = local.tags

    upgrade_settings {
      max_surge = "10%"
    }
  }

  dynamic "api_server_access_profile" {
    for_each = length(var.api_server_cidrs) > 0 ? [true] : []

    content {
      authorized_ip_ranges = var.api_server_cidrs
    }
  }

  identity {
    type = "SystemAssigned"
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.admin_group_ids
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_policy      = "cilium"
    network_data_plane  = "cilium"
    load_balancer_sku   = "standard"
  }

  node_provisioning_profile {
    mode = "Manual"
  }

  workload_autoscaler_profile {
    keda_enabled = true
  }

  key_vault_secrets_provider {
    secret_rotation_enabled = true
  }

  oms_agent {
    log_analytics_workspace_id      = azurerm_log_analytics_workspace.logs.id
    msi_auth_for_monitoring_enabled = true
  }

  monitor_metrics {}
}

# The cluster places machines in your subnet: its own identity may join it, and nothing else.
resource "azurerm_role_assignment" "network" {
  for_each = local.clusters

  scope                = var.subnet_ids[each.key]
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_kubernetes_cluster.region[each.key].identity[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "kubelet_images" {
  for_each = var.registry_id == "" ? toset([]) : local.clusters

  scope                = var.registry_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_kubernetes_cluster.region[each.key].kubelet_identity[0].object_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_kubernetes_cluster_node_pool" "pool" {
  for_each = local.node_pools

  name                    = each.value.node_pool
  kubernetes_cluster_id   = local.cluster_ids[each.value.region]
  vm_size                 = each.value.machine
  auto_scaling_enabled    = true
  min_count               = each.value.minimum
  max_count               = each.value.maximum + 1 # one for the pod that a rolling update adds; load asks for none, as pods keep to the most
  zones                   = each.value.zones == 0 ? null : [for zone in range(min(each.value.zones, 3)) : tostring(zone + 1)]
  vnet_subnet_id          = var.subnet_ids[each.value.region]
  os_disk_type            = "Managed"
  os_disk_size_gb         = var.disk_gb
  host_encryption_enabled = true
  max_pods                = 110

  priority        = each.value.spot ? "Spot" : "Regular"
  eviction_policy = each.value.spot ? "Delete" : null
  spot_max_price  = each.value.spot ? -1 : null

  # AKS gives spot nodes this label and taint by itself: stated, so that a second apply changes nothing.
  node_labels = merge(
    { "tightrope.dev/pool" = "${var.workload}.${each.key}" },
    each.value.spot ? { "kubernetes.azure.com/scalesetpriority" = "spot" } : {},
  )
  node_taints = concat(
    ["tightrope.dev/pool=${var.workload}.${each.key}:NoSchedule"],
    each.value.spot ? ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] : [],
  )

  dynamic "upgrade_settings" {
    for_each = each.value.spot ? [] : [true]

    content {
      max_surge                     = "10%"
      drain_timeout_in_minutes      = 30
      node_soak_duration_in_minutes = 0
    }
  }

  tags = merge(local.tags, each.value.tags)
}
