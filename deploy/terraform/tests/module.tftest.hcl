# What the module makes of the prod environment, and what it refuses.

mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
  mock_data "google_storage_project_service_account" {
    defaults = {
      member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_service_account" {
    defaults = {
      email  = "an-account@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:an-account@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/an-account@my-project.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_cloud_run_v2_service" {
    defaults = {
      uri = "https://wharf-launch.example"
    }
  }
}

variables {
  launch_config = file("../environments/prod.json")
  location      = "EU"
  service_image = "europe-west1-docker.pkg.dev/my-project/wharf/service:0.1.0"
  landings      = { files = { bucket = "my-project-landing", prefix = "in/" } }
  schedules = {
    monthly = { job = "measurements", cron = "0 3 1 * *", body = { when_read_from = "2025-03-01T00:00:00", force = "true" }, success_within_hours = 750 }
    nightly = { job = "xero-acme", cron = "0 1 * * *", direct = true }
  }
}

run "a_schedule_through_the_service_names_its_job" {
  command = apply

  assert {
    condition     = google_cloud_scheduler_job.service["monthly"].http_target[0].uri == "https://wharf-launch.example/export"
    error_message = "The service is asked at another address."
  }

  assert {
    condition = jsondecode(base64decode(google_cloud_scheduler_job.service["monthly"].http_target[0].body)) == {
      name           = "measurements"
      when_read_from = "2025-03-01T00:00:00"
      force          = true
    }
    error_message = "The service is asked for something else."
  }
}

run "a_direct_schedule_sends_what_the_service_would" {
  command = apply

  assert {
    condition = jsondecode(base64decode(google_cloud_scheduler_job.direct["nightly"].http_target[0].body)) == {
      launchParameter = {
        jobName              = "xero-acme-direct"
        containerSpecGcsPath = "gs://my-project-wharf/templates/0.1.0/api_to_bigquery.json"
        parameters           = { client_name = "acme", config = "gs://my-project-wharf/config/xero.json" }
        environment = {
          additionalUserLabels = { app = "wharf", env = "prod" }
          ipConfiguration      = "WORKER_IP_PRIVATE"
          maxWorkers           = 10
          serviceAccountEmail  = "wharf-api-to-bigquery@my-project.iam.gserviceaccount.com"
          stagingLocation      = "gs://my-project-wharf-work/tmp"
          subnetwork           = "regions/europe-west1/subnetworks/default"
          tempLocation         = "gs://my-project-wharf-work/tmp"
        }
      }
    }
    error_message = "Dataflow is asked for something else."
  }
}

run "the_ledger_is_protected_and_partitioned" {
  command = apply

  assert {
    condition = keys(google_bigquery_table.ledger) == [
      "bigquery_loads.serverless_bq_loads", "bigquery_loads.serverless_bq_loads_files", "bigquery_loads.serverless_bq_loads_rejects",
      "wharf.api_fetches", "wharf.exports", "wharf.exports_files", "wharf.exports_ties",
    ]
    error_message = "There are other tables."
  }

  assert {
    condition     = alltrue([for table in google_bigquery_table.ledger : table.deletion_protection && length(table.time_partitioning) == 1])
    error_message = "A table can be deleted, or is in one piece."
  }
}

run "the_ledger_is_where_a_job_records" {
  command = plan

  variables {
    launch_config = replace(file("../environments/prod.json"), "\"export_name\": \"measurements\"", "\"metadata_table\": \"my-project:ops.runs\"")
  }

  assert {
    condition     = google_bigquery_table.ledger["ops.runs"].table_id == "runs" && google_bigquery_dataset_iam_member.account["bigquery_to_avro ledger"].dataset_id == "ops"
    error_message = "A job may not record its runs."
  }
}

run "without_an_image_there_is_no_service_and_nothing_that_calls_it" {
  command = apply

  variables {
    service_image = ""
  }

  assert {
    condition     = output.service_url == "" && length(google_cloud_scheduler_job.service) == 0 && length(google_cloud_scheduler_job.direct) == 1
    error_message = "Something calls a service that is not there."
  }

  assert {
    condition     = keys(google_pubsub_subscription.stream) == ["files"] && length(google_pubsub_subscription.push) == 0
    error_message = "There are other subscriptions."
  }
}

run "a_job_that_runs_as_another_account_is_refused" {
  command = plan

  variables {
    launch_config = replace(file("../environments/prod.json"), "wharf-api-to-bigquery@", "somebody@")
  }

  expect_failures = [google_storage_bucket_object.launch_config]
}

run "templates_that_workers_could_write_are_refused" {
  command = plan

  variables {
    launch_config = replace(file("../environments/prod.json"), "my-project-wharf-work", "my-project-wharf")
  }

  expect_failures = [var.launch_config]
}

run "a_schedule_of_no_job_is_refused" {
  command = plan

  variables {
    schedules = { nightly = { job = "measurement", cron = "0 3 * * *" } }
  }

  expect_failures = [var.schedules]
}

run "a_schedule_that_the_service_cannot_launch_is_refused" {
  command = plan

  variables {
    schedules = { nightly = { job = "landed", cron = "0 3 * * *" } }
  }

  expect_failures = [google_cloud_scheduler_job.service]
}

run "a_service_for_everybody_is_refused" {
  command = plan

  variables {
    service = { callers = ["allUsers"] }
  }

  expect_failures = [var.service]
}
