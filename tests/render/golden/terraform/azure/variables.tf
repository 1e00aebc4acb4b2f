# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# What the plan decides: plan.auto.tfvars.json holds it, and a render writes that file anew.

variable "workload" {
  description = "The workload's name, in a form that every resource takes."
  type        = string
}

variable "workload_label" {
  description = "The same as the tag `workload` has it on every cloud: what the budget counts."
  type        = string
}

variable "regions" {
  description = "Regions in which the plan has pools."
  type        = set(string)
}

variable "disk_gb" {
  description = "Root volume of every machine, GB."
  type        = number
}

variable "usd_per_month" {
  description = "What the plan's part on Azure costs a month."
  type        = number
}

variable "pools" {
  description = "Pools of machines by their names. `entries` is the week as a calendar: from each on, so many machines at least."
  type = map(object({
    name           = string
    region         = string
    zones          = number
    machine        = string
    arch           = string
    spot           = bool
    minimum        = number
    maximum        = number
    peak           = number
    accelerators   = number
    replicas       = number
    variant        = string
    arguments      = list(string)
    environment    = map(string)
    start_minutes  = number
    steady_minutes = number
    busy_above     = number
    load = object({
      metric       = string
      each_machine = bool
      shrink_below = number
      grow_above   = number
      half_above   = number
      double_above = number
    })
    from_none = bool
    node_pool = string
    tags      = map(string)
    entries = list(object({
      name     = string
      days     = list(string)
      hour     = number
      minute   = number
      machines = number
    }))
  }))
  default = {}

  validation {
    condition = alltrue([
      for pool in var.pools : pool.minimum <= pool.peak && pool.peak <= pool.maximum && length(pool.entries) <= 18
    ])
    error_message = "A pool's numbers must not fall from its minimum to its maximum, and Azure takes 20 profiles: its week, the default one, and that of expires_on."
  }
}

# What is yours: settings.auto.tfvars holds it, and a render leaves that file alone.

variable "team" {
  description = "Who answers for the cost: a tag on everything."
  type        = string

  validation {
    condition     = length(var.team) > 0 && length(var.team) <= 256
    error_message = "A tag of Azure has 1 to 256 letters."
  }
}

variable "environment" {
  description = "Such as production or staging: a tag on everything."
  type        = string

  validation {
    condition     = length(var.environment) > 0 && length(var.environment) <= 256
    error_message = "A tag of Azure has 1 to 256 letters."
  }
}

variable "cost_centre" {
  description = "Whom the cost is charged to: a tag on everything."
  type        = string

  validation {
    condition     = length(var.cost_centre) > 0 && length(var.cost_centre) <= 256
    error_message = "A tag of Azure has 1 to 256 letters."
  }
}

variable "tags" {
  description = "Further tags on everything."
  type        = map(string)
  default     = {}
}

variable "expires_on" {
  description = "Day from which nothing is to run, such as 2027-06-30: a tag on everything, and on that day every scale set goes to zero. Empty: never."
  type        = string
  default     = ""

  validation {
    condition     = var.expires_on == "" || can(formatdate("YYYY-MM-DD", "${var.expires_on}T00:00:00Z"))
    error_message = "A day is written as 2027-06-30."
  }
}

variable "notify_emails" {
  description = "Who hears of budgets, anomalies and alerts."
  type        = list(string)

  validation {
    condition     = length(var.notify_emails) > 0 && alltrue([for address in var.notify_emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", address))])
    error_message = "At least one e-mail address, each with one @."
  }
}

variable "run_on" {
  description = "What the pools of machines are: vm (scale sets that run the containers), or kubernetes (node pools of AKS)."
  type        = string
  default     = "vm"

  validation {
    condition     = contains(["vm", "kubernetes"], var.run_on)
    error_message = "run_on is vm or kubernetes."
  }
}

variable "subnet_ids" {
  description = "Region => subnet of your network for machines. It must reach the registry: new networks of Azure have no way out by default."
  type        = map(string)

  validation {
    condition     = alltrue([for pool in var.pools : contains(keys(var.subnet_ids), pool.region)])
    error_message = "Every region with machines needs a subnet: ${join(", ", distinct([for pool in var.pools : pool.region]))}."
  }
}

variable "allowed_cidrs" {
  description = "Who may ask the replicas: your gateway's addresses. Nobody may, unless stated."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.allowed_cidrs : can(cidrhost(block, 0)) && !endswith(block, "/0")])
    error_message = "Blocks such as 10.0.0.0/16; the whole internet is none."
  }
}

variable "images" {
  description = "Model's variant => the container that answers for it. `arguments` come before those that the plan states."
  type = map(object({
    image       = string
    arguments   = optional(list(string), [])
    environment = optional(map(string), {})
    port        = optional(number, 8000)
    health_path = optional(string, "/health")
  }))
  default = {}

  validation {
    condition     = alltrue([for image in values(var.images) : startswith(image.health_path, "/") && image.port > 0 && image.port < 65536])
    error_message = "A health path begins with a slash, and a port is 1 to 65535."
  }
}

variable "registry_id" {
  description = "Resource id of your container registry, which machines may pull from; empty where images are public."
  type        = string
  default     = ""
}

variable "model_container_id" {
  description = "Resource id of the blob container with model artefacts, which machines may read; empty for none."
  type        = string
  default     = ""
}

variable "admin_ssh_public_key" {
  description = "Public key for machines, which Azure asks for; no port is open for it. Needed where run_on is vm."
  type        = string
  default     = ""
}

variable "metrics" {
  description = "Where the gateway's metrics are in Azure Monitor: the resource that they are written for, and their namespace. Null: none are."
  type = object({
    resource_id = string
    namespace   = string
  })
  default = null
}

variable "cpu_percent" {
  description = "Without the gateway's metrics: pools without accelerators grow and shrink at these, which the plan does not know of."
  type = object({
    grow   = number
    shrink = number
  })
  default = { grow = 70, shrink = 30 }

  validation {
    condition     = 0 < var.cpu_percent.shrink && var.cpu_percent.shrink < var.cpu_percent.grow && var.cpu_percent.grow < 100
    error_message = "0 < shrink < grow < 100."
  }
}

variable "margin" {
  description = "How far above the plan's cost the budget lies, as a share of it."
  type        = number
  default     = 0.1

  validation {
    condition     = var.margin >= 0 && var.margin <= 1
    error_message = "A share from 0 to 1."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 730
    error_message = "Azure keeps logs for 30 to 730 days."
  }
}

variable "gpu_image" {
  description = "System of machines with accelerators: it must bring their driver, Docker and the NVIDIA container toolkit."
  type        = object({ publisher = string, offer = string, sku = string, version = string })
  default     = { publisher = "microsoft-dsvm", offer = "ubuntu-hpc", sku = "2204", version = "latest" }
}
