# `terraform test` asks for a plan and asserts what the plan of Tightrope promises: caps, spot, money, nothing open. Nothing is created.

mock_provider "azurerm" {}

run "scale_sets_keep_to_the_plan" {
  command = plan

  variables {
    run_on = "vm"
  }

  assert {
    condition     = alltrue([for setting in azurerm_monitor_autoscale_setting.pool : alltrue([for profile in setting.profile : profile.capacity[0].maximum <= var.pools[trimprefix(setting.name, "${var.workload}-")].maximum])])
    error_message = "A pool may grow beyond the plan's largest number of machines."
  }

  assert {
    condition     = alltrue([for setting in azurerm_monitor_autoscale_setting.pool : length(setting.profile) <= 20])
    error_message = "Azure takes 20 profiles."
  }

  assert {
    condition     = alltrue([for key, set in azurerm_linux_virtual_machine_scale_set.pool : (set.priority == "Spot") == var.pools[key].spot && set.sku == var.pools[key].machine])
    error_message = "A scale set has another machine, or is paid otherwise, than the plan says."
  }

  assert {
    condition     = alltrue([for set in azurerm_linux_virtual_machine_scale_set.pool : set.encryption_at_host_enabled && set.disable_password_authentication])
    error_message = "Disks are to be encrypted, and passwords refused."
  }

  assert {
    condition     = alltrue(flatten([for set in azurerm_linux_virtual_machine_scale_set.pool : [for card in set.network_interface : [for address in card.ip_configuration : length(address.public_ip_address) == 0]]]))
    error_message = "A machine has a public address."
  }

  assert {
    condition     = alltrue(flatten([for rule in azurerm_network_security_rule.asked : [for block in rule.source_address_prefixes : !endswith(block, "/0")]]))
    error_message = "The whole internet may ask the replicas."
  }

  assert {
    condition     = azurerm_consumption_budget_subscription.workload.amount >= var.usd_per_month && azurerm_consumption_budget_subscription.workload.amount <= max(1, ceil(2 * var.usd_per_month))
    error_message = "The budget is not the plan's cost and a margin."
  }
}

run "node_pools_keep_to_the_plan" {
  command = plan

  variables {
    run_on = "kubernetes"
  }

  assert {
    condition     = alltrue([for key, nodes in azurerm_kubernetes_cluster_node_pool.pool : nodes.max_count == var.pools[key].maximum + 1 && nodes.min_count == var.pools[key].minimum])
    error_message = "A node pool has other limits than the plan says, and one node for an update."
  }

  assert {
    condition     = alltrue([for key, nodes in azurerm_kubernetes_cluster_node_pool.pool : (nodes.priority == "Spot") == var.pools[key].spot && nodes.vm_size == var.pools[key].machine])
    error_message = "A node pool has another machine, or is paid otherwise, than the plan says."
  }

  assert {
    condition     = length(azurerm_linux_virtual_machine_scale_set.pool) == 0
    error_message = "Both scale sets and node pools would be paid."
  }
}
