# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# Pools of machines as managed instance groups, where run_on is "vm": each with the plan's week as its schedule, and an autoscaler that adds
# to it. One internal load balancer a region sends a request to the pool that its header `x-tightrope-pool` names, which the gateway sets.

locals {
  containers = {
    for key, pool in local.vm : key => [
      for replica in range(pool.replicas) : {
        port = var.images[pool.variant].port + replica
        devices = (
          pool.accelerators_per_replica > 0
          ? range(replica * pool.accelerators_per_replica, (replica + 1) * pool.accelerators_per_replica)
          : range(pool.accelerators)
        )
      }
    ]
  }

  # Arguments as systemd reads them: quoted, with its own signs doubled.
  quoted = {
    for key, pool in local.vm : key => {
      registry  = replace(replace(jsonencode("--registries=${split("/", var.images[pool.variant].image)[0]}"), "%", "%%"), "$", "$$")
      image     = replace(replace(jsonencode(var.images[pool.variant].image), "%", "%%"), "$", "$$")
      arguments = [for item in concat(pool.arguments, var.images[pool.variant].arguments) : replace(replace(jsonencode(item), "%", "%%"), "$", "$$")]
      environment = [
        for name, value in merge(pool.environment, var.images[pool.variant].environment, { PORT = tostring(var.images[pool.variant].port) }) :
        replace(replace(jsonencode("--env=${name}=${value}"), "%", "%%"), "$", "$$")
      ]
    }
  }

  cloud_init = {
    for key, pool in local.vm : key => {
      write_files = concat(
        pool.accelerators == 0 ? [] : [{
          path    = "/etc/systemd/system/accelerator.service"
          content = file("${path.module}/accelerator.service")
        }],
        [
          for number, container in local.containers[key] : {
            path = "/etc/systemd/system/replica-${number}.service"
            content = templatefile("${path.module}/replica.service.tftpl", {
              number      = number
              registry    = local.quoted[key].registry
              inner       = var.images[pool.variant].port
              outer       = container.port
              devices     = container.devices
              image       = local.quoted[key].image
              arguments   = local.quoted[key].arguments
              environment = local.quoted[key].environment
            })
          }
        ],
      )
      runcmd = concat(
        ["systemctl daemon-reload"],
        pool.accelerators == 0 ? [] : ["systemctl start accelerator.service"],
        [for number, _ in local.containers[key] : "systemctl start replica-${number}.service"],
      )
    }
  }
}

resource "google_compute_region_instance_template" "pool" {
  for_each = local.vm

  name_prefix  = "${substr(each.value.name, 0, 30)}-"
  description  = "${each.value.machine} of pool ${each.key}"
  region       = each.value.region
  machine_type = each.value.machine
  labels       = merge(local.labels, each.value.labels)

  disk {
    boot         = true
    auto_delete  = true
    source_image = each.value.arm ? "cos-cloud/cos-arm64-stable" : "cos-cloud/cos-stable"
    disk_type    = each.value.disk_type
    disk_size_gb = ceil(var.disk_gb)
    labels       = merge(local.labels, each.value.labels)

    dynamic "disk_encryption_key" {
      for_each = compact([lookup(var.kms_keys, each.value.region, null)])

      content {
        kms_key_self_link = disk_encryption_key.value
      }
    }
  }

  dynamic "guest_accelerator" {
    for_each = compact([each.value.attach])

    content {
      type  = guest_accelerator.value
      count = each.value.accelerators
    }
  }

  # No address of the internet: images come through Private Google Access or Cloud NAT.
  network_interface {
    subnetwork = var.subnetworks[each.value.region]
  }

  scheduling {
    provisioning_model          = each.value.spot ? "SPOT" : "STANDARD"
    preemptible                 = each.value.spot
    automatic_restart           = !each.value.spot
    on_host_maintenance         = each.value.spot || each.value.accelerators > 0 ? "TERMINATE" : "MIGRATE"
    instance_termination_action = each.value.spot ? "DELETE" : null
  }

  service_account {
    email  = google_service_account.serve.email
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    user-data              = "#cloud-config\n${yamlencode(local.cloud_init[each.key])}"
    block-project-ssh-keys = "true"
    enable-oslogin         = "TRUE"
    google-logging-enabled = "true"
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = !each.value.tpu
      error_message = "Machines with TPUs are made by GKE: set run_on = \"kubernetes\"."
    }
  }
}

resource "google_compute_region_instance_group_manager" "pool" {
  for_each = local.vm

  name               = each.value.name
  description        = "Pool ${each.key}"
  region             = each.value.region
  base_instance_name = each.value.name
  wait_for_instances = false

  # Spot goes where there is any, as evenly as that allows; the others are spread evenly.
  distribution_policy_target_shape = each.value.spot ? "BALANCED" : "EVEN"
  distribution_policy_zones        = lookup(var.zones, each.value.region, null)

  version {
    instance_template = google_compute_region_instance_template.pool[each.key].self_link
  }

  dynamic "named_port" {
    for_each = local.containers[each.key]

    content {
      name = "serve"
      port = named_port.value.port
    }
  }

  auto_healing_policies {
    health_check      = google_compute_region_health_check.pool[each.key].id
    initial_delay_sec = min(3600, 2 * ceil(each.value.start_s))
  }

  # Machines of the shape BALANCED are not moved between zones.
  update_policy {
    type                         = "PROACTIVE"
    minimal_action               = "REPLACE"
    replacement_method           = "SUBSTITUTE"
    max_surge_fixed              = 10
    max_unavailable_fixed        = 0
    instance_redistribution_type = each.value.spot ? "NONE" : "PROACTIVE"
  }
}

resource "google_compute_region_autoscaler" "pool" {
  for_each = local.vm

  name   = each.value.name
  region = each.value.region
  target = google_compute_region_instance_group_manager.pool[each.key].id

  autoscaling_policy {
    min_replicas         = each.value.min
    max_replicas         = each.value.max
    cooldown_period      = ceil(each.value.start_s)
    stabilization_period = each.value.stabilisation_s
    mode                 = "ON"

    # Requests a second and machine, as the load balancer counts them against max_rate_per_instance below.
    dynamic "load_balancing_utilization" {
      for_each = each.value.signal == "rate" ? [1.0] : []

      content {
        target = load_balancing_utilization.value
      }
    }

    # A group that may be empty is woken by what the gateway holds, as the load balancer counts nothing where no machine is.
    dynamic "metric" {
      for_each = each.value.signal == "in-flight" ? [each.value.in_flight] : []

      content {
        name                       = "prometheus.googleapis.com/tightrope_requests_in_flight/gauge"
        filter                     = "resource.type = \"prometheus_target\" AND metric.labels.pool = ${jsonencode(each.value.pool)}"
        single_instance_assignment = metric.value
      }
    }

    # A group that only the calendar changes: a schedule needs another signal beside it, and the CPU is never busier than all of it.
    dynamic "cpu_utilization" {
      for_each = each.value.signal == "none" ? [1.0] : []

      content {
        target = cpu_utilization.value
      }
    }

    # Where several hold at one time, the largest counts.
    dynamic "scaling_schedules" {
      for_each = each.value.schedules

      content {
        name                  = scaling_schedules.key
        description           = "At least ${scaling_schedules.value.machines}, as planned"
        schedule              = scaling_schedules.value.cron
        duration_sec          = scaling_schedules.value.duration_s
        min_required_replicas = scaling_schedules.value.machines
        time_zone             = "Etc/UTC"
      }
    }
  }
}

resource "google_compute_region_health_check" "pool" {
  for_each = local.vm

  name                = each.value.name
  region              = each.value.region
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 3

  http_health_check {
    port         = var.images[each.value.variant].port
    request_path = var.images[each.value.variant].health_path
  }

  log_config {
    enable = true
  }
}

# ------------------------------------------------------------------------------------------------------------------ load balancer

resource "google_compute_subnetwork" "proxies" {
  #checkov:skip=CKV_GCP_26:No machine stands in it and flow logs are not available for proxy-only subnetworks; the load balancer logs requests.
  #checkov:skip=CKV_GCP_74:No machine stands in it, so none asks for Google's interfaces from there.
  #checkov:skip=CKV_GCP_76:No machine stands in it, so none asks for Google's interfaces from there.
  for_each = { for region in local.vm_regions : region => var.proxy_only_subnets[region] if var.proxy_only_subnets[region].create }

  name          = "${var.account_id}-proxies"
  region        = each.key
  network       = var.network
  ip_cidr_range = each.value.cidr
  purpose       = "REGIONAL_MANAGED_PROXY"
  role          = "ACTIVE"
}

# Only the load balancer's proxies and Google's health checks reach the machines, and only the ports that are served.
resource "google_compute_firewall" "proxies" {
  for_each = local.vm

  name                    = each.value.name
  network                 = var.network
  direction               = "INGRESS"
  source_ranges           = [var.proxy_only_subnets[each.value.region].cidr, "35.191.0.0/16", "130.211.0.0/22"]
  target_service_accounts = [google_service_account.serve.email]

  allow {
    protocol = "tcp"
    ports    = [for container in local.containers[each.key] : tostring(container.port)]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_region_backend_service" "pool" {
  for_each = local.vm

  name                            = each.value.name
  region                          = each.value.region
  protocol                        = "HTTP"
  port_name                       = "serve"
  load_balancing_scheme           = "INTERNAL_MANAGED"
  locality_lb_policy              = "LEAST_REQUEST"
  timeout_sec                     = 600
  connection_draining_timeout_sec = 60
  health_checks                   = [google_compute_region_health_check.pool[each.key].id]

  # The rate that the autoscaler steers a machine to; nothing is turned away above it.
  backend {
    group                 = google_compute_region_instance_group_manager.pool[each.key].instance_group
    balancing_mode        = each.value.signal == "rate" ? "RATE" : "UTILIZATION"
    max_rate_per_instance = each.value.signal == "rate" ? each.value.requests_per_s : null
    capacity_scaler       = 1.0
  }

  log_config {
    enable      = true
    sample_rate = 0.01
  }
}

resource "google_compute_region_url_map" "pools" {
  for_each = local.vm_regions

  name            = var.account_id
  region          = each.key
  default_service = [for key, pool in local.vm : google_compute_region_backend_service.pool[key].id if pool.region == each.key][0]

  host_rule {
    hosts        = ["*"]
    path_matcher = "pools"
  }

  path_matcher {
    name            = "pools"
    default_service = [for key, pool in local.vm : google_compute_region_backend_service.pool[key].id if pool.region == each.key][0]

    dynamic "route_rules" {
      for_each = [for key, pool in local.vm : key if pool.region == each.key]

      content {
        priority = route_rules.key
        service  = google_compute_region_backend_service.pool[route_rules.value].id

        match_rules {
          prefix_match = "/"

          header_matches {
            header_name = "x-tightrope-pool"
            exact_match = route_rules.value
          }
        }
      }
    }
  }
}

resource "google_compute_region_target_http_proxy" "pools" {
  for_each = local.vm_regions

  name    = var.account_id
  region  = each.key
  url_map = google_compute_region_url_map.pools[each.key].id
}

# Reached from inside the network alone.
resource "google_compute_forwarding_rule" "pools" {
  for_each = local.vm_regions

  name                  = var.account_id
  region                = each.key
  load_balancing_scheme = "INTERNAL_MANAGED"
  ip_protocol           = "TCP"
  port_range            = "80"
  network               = var.network
  subnetwork            = var.subnetworks[each.key]
  target                = google_compute_region_target_http_proxy.pools[each.key].id
  labels                = local.labels

  depends_on = [google_compute_subnetwork.proxies]
}

output "load_balancers" {
  description = "Region => address of the load balancer, inside the network; the header x-tightrope-pool names the pool."
  value       = { for region, rule in google_compute_forwarding_rule.pools : region => rule.ip_address }
}

output "groups" {
  description = "Pool => its instance group."
  value       = { for key, group in google_compute_region_instance_group_manager.pool : key => group.instance_group }
}
