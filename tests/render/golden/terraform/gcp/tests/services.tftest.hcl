# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# terraform test asks no cloud: the provider is mocked, and what is yours comes from example.auto.tfvars.json.

mock_provider "google" {}

run "services" {
  command = plan

  assert {
    condition     = sum([for service in google_cloud_run_v2_service.pool : service.template[0].scaling[0].max_instance_count]) == var.caps.instances
    error_message = "There may be more instances, or fewer, than the plan lets run at one time."
  }

  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.pool : service.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"])
    error_message = "A service is reached from the internet."
  }
}
