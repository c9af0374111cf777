# Needs no provider: `terraform init && terraform test`.

variables {
  bigquery_to_avro = { measurements = { source_table = "p.d.t", output = "gs://b/p", period = "202503", codec = "deflate" } }
}

run "sound_parameters_are_handed_on" {
  command = plan

  assert {
    condition     = output.jobs["measurements"].period == "202503"
    error_message = "A parameter got lost."
  }
}

run "an_unknown_parameter_is_refused" {
  command = plan

  variables {
    bigquery_to_avro = { measurements = { sauce_table = "p.d.t" } }
  }

  expect_failures = [var.bigquery_to_avro]
}

run "a_choice_that_there_is_not_is_refused" {
  command = plan

  variables {
    bigquery_to_avro = { measurements = { codec = "zip" } }
  }

  expect_failures = [var.bigquery_to_avro]
}

run "a_value_of_another_form_is_refused" {
  command = plan

  variables {
    bigquery_to_avro = { measurements = { period = "2025-03" } }
  }

  expect_failures = [var.bigquery_to_avro]
}

run "a_job_that_says_where_files_land_loads_all_that_is_there" {
  command = plan

  variables {
    files_to_bigquery = {
      landed = { prefix = "gs://b/in/" }
      shop   = { prefix = "gs://b/in/", input = "gs://b/in/shop/**" }
      stream = { prefix = "gs://b/in/", subscription = "projects/project/subscriptions/landed" }
    }
  }

  assert {
    condition = jsonencode(output.jobs) == jsonencode(merge(var.bigquery_to_avro, {
      landed = { prefix = "gs://b/in/", input = "gs://b/in/**" }
      shop   = { prefix = "gs://b/in/", input = "gs://b/in/shop/**" }
      stream = { prefix = "gs://b/in/", subscription = "projects/project/subscriptions/landed" }
    }))
    error_message = "The parameters are not those of the launcher."
  }
}
