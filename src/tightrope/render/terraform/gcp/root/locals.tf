locals {
  labels = merge(
    {
      workload    = var.workload
      team        = var.team
      environment = var.environment
      cost-centre = var.cost_centre
      managed-by  = "tightrope"
    },
    var.expires_on == "" ? {} : { expires-on = var.expires_on },
  )

  # An apply on that day or later takes away what costs by the hour: machines, and instances that are kept. What costs by the request stays.
  expired = timecmp(plantimestamp(), "${coalesce(var.expires_on, "9999-12-31")}T00:00:00Z") >= 0

  vm    = var.run_on == "vm" && !local.expired ? var.pools : {}
  nodes = var.run_on == "kubernetes" && !local.expired ? var.pools : {}

  services = {
    for key, service in var.services : key => merge(service, {
      min      = local.expired ? 0 : service.min
      schedule = { for name, entry in service.schedule : name => entry if !local.expired }
    })
  }

  vm_regions      = toset([for pool in values(local.vm) : pool.region])
  cluster_regions = toset([for pool in values(var.pools) : pool.region if var.run_on == "kubernetes"])
}

check "not_expired" {
  assert {
    condition     = !local.expired
    error_message = "expires_on is past: this apply takes the machines and kept instances away."
  }
}
