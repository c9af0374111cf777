# Templates, schedules, identities and what they need. Batch jobs are not Terraform's: the service or Cloud Scheduler
# launches them, and Terraform must not start one because a plan was applied.

data "google_project" "this" {
  project_id = local.project
}

locals {
  launch  = jsondecode(var.launch_config)
  project = local.launch.project
  region  = local.launch.region

  # As the service does it: a job's environment goes key by key before that of all jobs, and labels add up.
  jobs = {
    for name, job in local.launch.jobs : name => {
      pipeline   = job.pipeline
      parameters = { for key, value in try(job.parameters, {}) : key => tostring(value) }
      environment = merge(
        try(local.launch.environment, {}),
        try(job.environment, {}),
        { labels = merge(try(local.launch.environment.labels, {}), try(job.environment.labels, {})) },
      )
    }
  }
  pipelines   = toset([for job in values(local.jobs) : job.pipeline])
  has_service = var.service_image != ""
}

# Parameters that a template would refuse, or that no pipeline knows, end the plan.
module "parameters" {
  source = "./parameters"

  bigquery_to_avro  = { for name, job in local.jobs : name => job.parameters if job.pipeline == "bigquery_to_avro" }
  files_to_bigquery = { for name, job in local.jobs : name => job.parameters if job.pipeline == "files_to_bigquery" }
  bigquery_to_sftp  = { for name, job in local.jobs : name => job.parameters if job.pipeline == "bigquery_to_sftp" }
  api_to_bigquery   = { for name, job in local.jobs : name => job.parameters if job.pipeline == "api_to_bigquery" }
}

# The images of the templates and of the service.
resource "google_artifact_registry_repository" "images" {
  project       = local.project
  location      = local.region
  repository_id = var.name
  description   = "Images of Wharf's templates and of its launch service"
  format        = "DOCKER"
  labels        = var.labels
}
