# terraform test asks no cloud: the provider is mocked, and what is yours comes from example.auto.tfvars.json.

mock_provider "google" {}

run "machines" {
  command = plan

  variables {
    run_on = "vm"
  }

  assert {
    condition     = sum([for group in google_compute_region_autoscaler.pool : group.autoscaling_policy[0].max_replicas]) == var.caps.machines
    error_message = "There may be more machines, or fewer, than the plan lets run at one time."
  }

  assert {
    condition = sum(concat([0], [
      for key, template in google_compute_region_instance_template.pool : google_compute_region_autoscaler.pool[key].autoscaling_policy[0].max_replicas
      if template.scheduling[0].provisioning_model == "SPOT"
    ])) == var.caps.spot_machines
    error_message = "There are more spot machines, or fewer, than planned."
  }

  assert {
    condition     = alltrue([for template in google_compute_region_instance_template.pool : length(template.network_interface[0].access_config) == 0])
    error_message = "A machine has an address of the internet."
  }

  assert {
    condition = alltrue([
      for template in google_compute_region_instance_template.pool :
      template.shielded_instance_config[0].enable_secure_boot && template.shielded_instance_config[0].enable_vtpm
    ])
    error_message = "A machine is not shielded."
  }

  assert {
    condition     = alltrue(flatten([for rule in google_compute_firewall.proxies : [for range in rule.source_ranges : !endswith(range, "/0")]]))
    error_message = "A firewall rule lets the internet in."
  }

  assert {
    condition     = alltrue([for rule in google_compute_forwarding_rule.pools : rule.load_balancing_scheme == "INTERNAL_MANAGED"])
    error_message = "A load balancer is reached from the internet."
  }

  assert {
    condition     = alltrue([for template in google_compute_region_instance_template.pool : template.labels["team"] == var.team && template.labels["workload"] == var.workload])
    error_message = "A machine lacks the labels that costs are allocated by."
  }
}

run "node_pools" {
  command = plan

  variables {
    run_on = "kubernetes"
  }

  assert {
    condition     = sum([for pool in google_container_node_pool.pool : pool.autoscaling[0].total_max_node_count - 1]) == var.caps.machines
    error_message = "There may be more nodes, or fewer, than the plan lets run at one time, and one a pool for an update."
  }

  assert {
    condition = sum(concat([0], [
      for pool in google_container_node_pool.pool : pool.autoscaling[0].total_max_node_count - 1 if pool.node_config[0].spot
    ])) == var.caps.spot_machines
    error_message = "There are more spot nodes, or fewer, than planned."
  }

  assert {
    condition = alltrue([
      for cluster in google_container_cluster.region :
      cluster.private_cluster_config[0].enable_private_nodes && cluster.private_cluster_config[0].enable_private_endpoint
    ])
    error_message = "A cluster is reached from the internet."
  }
}

run "expired" {
  command = plan

  variables {
    expires_on = "2026-01-01"
  }

  expect_failures = [check.not_expired]

  assert {
    condition     = length(google_compute_region_autoscaler.pool) == 0
    error_message = "Machines are left after expires_on."
  }
}
