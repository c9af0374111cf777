# One environment: everything comes from deploy/environments/<environment>.json, whose `deploy` is Terraform's part.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }

  backend "gcs" {} # terraform init -backend-config=bucket=... -backend-config=prefix=...
}

provider "google" {
  project = local.launch.project
  region  = local.launch.region
}

locals {
  text   = file("${path.module}/../../environments/${var.environment}.json")
  launch = jsondecode(local.text)
  deploy = local.launch.deploy
}

module "wharf" {
  source = "./.."

  launch_config         = local.text
  location              = local.deploy.location
  name                  = try(local.deploy.name, null)
  labels                = try(local.deploy.labels, null)
  buckets               = try(local.deploy.buckets, null)
  datasets              = try(local.deploy.datasets, null)
  access                = try(local.deploy.access, null)
  landings              = try(local.deploy.landings, null)
  schedules             = try(local.deploy.schedules, null)
  service_image         = var.with_service ? local.deploy.service_image : ""
  service               = try(local.deploy.service, null)
  operators             = try(local.deploy.operators, null)
  alert_emails          = try(local.deploy.alert_emails, null)
  notification_channels = try(local.deploy.notification_channels, null)
  runbook               = try(local.deploy.runbook, null)
  temp_days             = try(local.deploy.temp_days, null)
  record_days           = try(local.deploy.record_days, null)
  github_repository     = try(local.deploy.github_repository, null)
  github_environment    = var.environment
}
