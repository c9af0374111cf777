variable "environment" {
  description = "Which environment: a file in deploy/environments, without .json."
  type        = string

  validation {
    condition     = can(jsondecode(file("${path.module}/../../environments/${var.environment}.json")).deploy.location)
    error_message = "There is no deploy/environments/${var.environment}.json, or it has no deploy.location."
  }

  validation {
    condition = length(setsubtract(try(keys(jsondecode(file("${path.module}/../../environments/${var.environment}.json")).deploy), []), [
      "access", "alert_emails", "buckets", "datasets", "github_repository", "labels", "landings", "location", "name",
      "notification_channels", "operators", "record_days", "runbook", "schedules", "service", "service_image", "temp_days",
    ])) == 0
    error_message = "deploy has a key that the module does not know."
  }
}

variable "with_service" {
  description = "false, the first time: the service's image can only be pushed when there is a repository for it."
  type        = bool
  default     = true
}
