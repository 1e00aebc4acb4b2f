# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

output "resource_groups" {
  description = "Region => resource group."
  value       = { for region, group in azurerm_resource_group.region : region => group.name }
}

output "scale_sets" {
  description = "Pool => scale set, where run_on is vm."
  value       = { for key, set in azurerm_linux_virtual_machine_scale_set.pool : key => set.id }
}

output "load_balancers" {
  description = "Region => load balancer, with an address for each pool named as the pool is."
  value       = { for region, balancer in azurerm_lb.region : region => balancer.id }
}

output "clusters" {
  description = "Region => AKS cluster that the node pools are in, where run_on is kubernetes."
  value       = { for region in distinct([for pool in local.node_pools : pool.region]) : region => local.cluster_ids[region] }
}

output "budget_usd_per_month" {
  description = "The budget: the plan's cost and the margin."
  value       = azurerm_consumption_budget_subscription.workload.amount
}

output "follows_schedule_alone" {
  description = "Pools that nothing grows beyond their schedule: they have accelerators, and the gateway's metrics are not in Azure Monitor."
  value       = [for key, rules in local.rules : key if length(rules) == 0]
}
