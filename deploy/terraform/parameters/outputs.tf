output "jobs" {
  description = "Parameters of every job, by its name."
  value = merge(
    var.bigquery_to_avro,
    var.files_to_bigquery,
    var.bigquery_to_sftp,
    var.api_to_bigquery,
  )
}
