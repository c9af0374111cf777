output "jobs" {
  description = "Parameters of every job, by its name."
  value = merge(
    var.bigquery_to_avro,
    # As the launcher completes a job that says no more than below what files land: all that is there is loaded.
    { for name, job in var.files_to_bigquery : name => merge(
      try(job.prefix, "") != "" && !can(job.subscription) ? { input = "${replace(job.prefix, "/[/]+$/", "")}/**" } : {},
      job,
    ) },
    var.bigquery_to_sftp,
    var.api_to_bigquery,
  )
}
