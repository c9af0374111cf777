variable "launch_config" {
  description = "The launch configuration: the text of a JSON file such as deploy/environments/prod.json. It says project, region, where templates and launch records are, and which jobs there are; the launch service reads the same text."
  type        = string
  nullable    = false

  validation {
    condition     = can([jsondecode(var.launch_config).project, jsondecode(var.launch_config).region, jsondecode(var.launch_config).jobs])
    error_message = "launch_config is no launch configuration: check it with `wharf config check`."
  }

  validation {
    condition     = try(regex("^gs://[^/]+/", jsondecode(var.launch_config).templates) == regex("^gs://[^/]+/", jsondecode(var.launch_config).records), false)
    error_message = "templates and records must be folders of one bucket, such as gs://my-project-wharf/templates/1.0.0 and gs://my-project-wharf/launches."
  }

  validation {
    condition     = can(regex("^gs://[^/]+/.+", jsondecode(var.launch_config).environment.temp_location))
    error_message = "environment.temp_location must be a folder, such as gs://my-project-wharf-work/tmp."
  }

  validation {
    condition     = try(regex("^gs://[^/]+/", jsondecode(var.launch_config).environment.temp_location) != regex("^gs://[^/]+/", jsondecode(var.launch_config).templates), true)
    error_message = "environment.temp_location must be in another bucket than templates, which workers may read and not write."
  }
}

variable "name" {
  description = "What the names of service accounts, topics, schedules and the service begin with."
  type        = string
  default     = "wharf"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,11}$", var.name))
    error_message = "name has at most 12 lower-case letters, digits and hyphens; service accounts have room for 30."
  }
}

variable "location" {
  description = "Where buckets and datasets are, such as EU or europe-west1; best what contains the region of the jobs."
  type        = string
  nullable    = false
}

variable "labels" {
  description = "Labels of everything that has labels."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "buckets" {
  description = "Buckets for data that are to be made, by name. Exports write aside what they publish, and soft delete would keep it, and cost, for its days; 0 switches it off. delete_after_days: of objects, by prefix (\"\" for all)."
  type = map(object({
    soft_delete_days  = optional(number, 0)
    delete_after_days = optional(map(number), {})
  }))
  default  = {}
  nullable = false
}

variable "datasets" {
  description = "Datasets that are to be made beside those of the ledger tables, by name. table_days: after which tables made there are deleted, for staging."
  type = map(object({
    table_days = optional(number)
  }))
  default  = {}
  nullable = false
}

variable "access" {
  description = "What the account of each pipeline, and of the service, may reach beyond its ledger and the work bucket: datasets (dataset, or project.dataset), buckets, and secrets by name. rotated_secrets may be given new versions too."
  type = map(object({
    read_datasets   = optional(set(string), [])
    write_datasets  = optional(set(string), [])
    read_buckets    = optional(set(string), [])
    write_buckets   = optional(set(string), [])
    secrets         = optional(set(string), [])
    rotated_secrets = optional(set(string), [])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for who in keys(var.access) : contains(["service", "bigquery_to_avro", "files_to_bigquery", "bigquery_to_sftp", "api_to_bigquery"], who)])
    error_message = "access is given to pipelines (bigquery_to_avro, files_to_bigquery, bigquery_to_sftp, api_to_bigquery) and to service."
  }
}

variable "landings" {
  description = "Where files land for files_to_bigquery, by name. delivery: stream, for a streaming job that reads the subscription <name>-landed-<landing>, or event: the service launches a job for each batch that is complete."
  type = map(object({
    bucket   = string
    prefix   = optional(string, "")
    delivery = optional(string, "stream")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for landing in values(var.landings) : contains(["stream", "event"], landing.delivery)])
    error_message = "delivery is stream or event."
  }
}

variable "schedules" {
  description = "When which jobs of the launch configuration run, by a name for each schedule. cron in time_zone; body: further fields of the request, such as {period = \"202503\"}. direct: Cloud Scheduler asks Dataflow itself, without the service, with the job's parameters as they are. success_within_hours: people are told where the job has not succeeded for so long."
  type = map(object({
    job                  = string
    cron                 = string
    time_zone            = optional(string, "Etc/UTC")
    body                 = optional(map(string), {})
    direct               = optional(bool, false)
    paused               = optional(bool, false)
    success_within_hours = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : contains(try(keys(jsondecode(var.launch_config).jobs), []), schedule.job)])
    error_message = "A schedule names a job that the launch configuration does not have."
  }

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : length(schedule.body) == 0 || !schedule.direct])
    error_message = "A direct schedule has no body: Dataflow is sent the job's parameters."
  }
}

variable "service_image" {
  description = "The launch service's container image. Empty: there is no service yet, and only direct schedules are made."
  type        = string
  default     = ""
  nullable    = false
}

variable "service" {
  description = "The launch service on Cloud Run: how many instances, how much each does, and who (user:..., group:...) may open its page and ask for runs."
  type = object({
    min_instances = optional(number, 0)
    max_instances = optional(number, 3)
    concurrency   = optional(number, 40)
    cpu           = optional(string, "1")
    memory        = optional(string, "512Mi")
    ingress       = optional(string, "INGRESS_TRAFFIC_ALL")
    callers       = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = !contains(var.service.callers, "allUsers") && !contains(var.service.callers, "allAuthenticatedUsers")
    error_message = "Anybody who may call the service can launch jobs: name people or groups."
  }
}

variable "operators" {
  description = "Who (user:..., group:...) may act as the launcher and as the workers' accounts, to plan, run and repair by hand: gcloud auth application-default login --impersonate-service-account."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "alert_emails" {
  description = "E-mail addresses that are told of failed and missing runs."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "notification_channels" {
  description = "Further channels of Cloud Monitoring that are told: projects/PROJECT/notificationChannels/ID."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "runbook" {
  description = "Where the runbook is; alerts name it."
  type        = string
  default     = "deploy/RUNBOOK.md"
  nullable    = false
}

variable "temp_days" {
  description = "Days after which what Dataflow and its pipelines left below temp_location is deleted; longer than a batch job can take."
  type        = number
  default     = 14
  nullable    = false
}

variable "record_days" {
  description = "Days for which the service knows what it has launched. A request that is repeated later is a new one."
  type        = number
  default     = 400
  nullable    = false
}

variable "github_repository" {
  description = "owner/name of the repository whose workflows may deploy, without keys, by workload identity federation. Empty: none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "github_repository is owner/name."
  }
}

variable "github_environment" {
  description = "The environment of that repository that a workflow must run in to deploy here, such as prod."
  type        = string
  default     = "prod"
  nullable    = false
}
