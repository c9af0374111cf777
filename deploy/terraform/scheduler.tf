locals {
  # What the service is asked; files_to_bigquery is launched by what lands, or by direct schedules.
  routes = {
    bigquery_to_avro = "/export"
    bigquery_to_sftp = "/"
    api_to_bigquery  = "/run"
  }
  # Names of Dataflow's API for what the launch configuration calls otherwise:
  # https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
  environment_names = {
    serviceAccountEmail   = "service_account"
    tempLocation          = "temp_location"
    sdkContainerImage     = "image"
    machineType           = "machine_type"
    maxWorkers            = "max_workers"
    diskSizeGb            = "disk_gb"
    network               = "network"
    subnetwork            = "subnetwork"
    kmsKeyName            = "kms_key"
    additionalExperiments = "experiments"
    additionalUserLabels  = "labels"
  }
  unsaid = ["null", "\"\"", "0", "[]", "{}"] # left to Dataflow
  launch_bodies = {
    for name, job in local.jobs : name => {
      launchParameter = {
        jobName              = "${name}-direct"
        containerSpecGcsPath = "${trimsuffix(local.launch.templates, "/")}/${job.pipeline}.json"
        parameters           = module.parameters.jobs[name]
        environment = merge(
          { for theirs, ours in local.environment_names : theirs => job.environment[ours] if !contains(local.unsaid, try(jsonencode(job.environment[ours]), "null")) },
          { stagingLocation = job.environment.temp_location }, # else Dataflow stages in a bucket of its own
          try({ ipConfiguration = job.environment.private_workers ? "WORKER_IP_PRIVATE" : "WORKER_IP_PUBLIC" }, {}),
        )
      }
    }
  }
}

# A request through the service is answered when Dataflow has the job, and the same request again is the same run: so it
# is safe to repeat for an hour.
resource "google_cloud_scheduler_job" "service" {
  for_each = { for name, schedule in var.schedules : name => schedule if local.has_service && !schedule.direct }

  project          = local.project
  region           = local.region
  name             = "${var.name}-${each.key}"
  description      = "Runs ${each.value.job} through the launch service"
  schedule         = each.value.cron
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 5
    max_retry_duration   = "3600s"
    min_backoff_duration = "30s"
    max_backoff_duration = "600s"
    max_doublings        = 4
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.launch[0].uri}${local.routes[local.jobs[each.value.job].pipeline]}"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode(merge({ name = each.value.job }, { for field, value in each.value.body : field => try({ true = true, false = false }[value], value) })))

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloud_run_v2_service.launch[0].uri
    }
  }

  lifecycle {
    precondition {
      condition     = contains(keys(local.routes), local.jobs[each.value.job].pipeline)
      error_message = "Schedule ${each.key}: the service launches ${local.jobs[each.value.job].pipeline} for what lands; give the schedule direct = true."
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# Straight to Dataflow, with the job's parameters as they are: no window is worked out, so bigquery_to_avro takes the
# previous month and bigquery_to_sftp today. A job of the name that is still at work makes Dataflow refuse another.
resource "google_cloud_scheduler_job" "direct" {
  for_each = { for name, schedule in var.schedules : name => schedule if schedule.direct }

  project          = local.project
  region           = local.region
  name             = "${var.name}-${each.key}"
  description      = "Runs ${each.value.job} from its template"
  schedule         = each.value.cron
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    max_retry_duration   = "3600s"
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${local.project}/locations/${local.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode(local.launch_bodies[each.value.job]))

    oauth_token {
      service_account_email = google_service_account.launcher.email
    }
  }

  depends_on = [google_project_iam_member.account, google_service_account_iam_member.launcher_uses_worker]
}
