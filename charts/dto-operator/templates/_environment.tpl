{{- /* The operator's settings: dto_operator/settings.py names them, and a test holds this to it. */}}
{{- define "dto.environment" -}}
{{- $minio := .Values.minio.enabled }}
{{- $store := .Values.store }}
{{- if and $minio (not $store.uri) }}
{{- $store = dict "uri" (printf "s3://%s" .Values.minio.bucket) "endpoint" (printf "http://%s.%s:9000" (include "dto.minio" .) .Release.Namespace) "secret" (include "dto.minio" .) }}
{{- end }}
{{- $settings := dict
  "NAMESPACES" (include "dto.namespaces" .)
  "JOBS_IMAGE" (include "dto.image" (dict "image" .Values.stages.image "version" .Chart.AppVersion))
  "IMAGE_PULL_POLICY" .Values.stages.image.pullPolicy
  "IMAGE_PULL_SECRETS" (.Values.stages.image.pullSecrets | join ",")
  "SERVICE_ACCOUNT" (include "dto.stages.serviceAccount" .)
  "STORE" $store.uri
  "STORE_ENDPOINT" $store.endpoint
  "STORE_SECRET" $store.secret
  "STEPS_CPU" .Values.stages.stepsCpu
  "STEPS_MEMORY" .Values.stages.stepsMemory
  "METRICS_PORT" .Values.metrics.port
  "STAGE_METRICS_PORT" .Values.stages.metricsPort
  "DISCARD_SECONDS" .Values.stages.discardSeconds
  "GRACE_SECONDS" .Values.stages.graceSeconds
  "RESYNC_SECONDS" .Values.operator.resyncSeconds
  "PROGRESS_SECONDS" .Values.operator.progressSeconds
  "WATCH_SECONDS" .Values.operator.watchSeconds
  "LEADER_ELECTION" (include "dto.leaderElection" .)
  "LEASE_SECONDS" .Values.leaderElection.leaseSeconds
  "LEASE_NAMESPACE" .Release.Namespace
  "REQUESTS_PER_SECOND" .Values.operator.requestsPerSecond
  "LOG_LEVEL" .Values.operator.logLevel }}
{{- range $name, $value := $settings }}
{{- if ne (toString $value) "" }}
- name: DTO_OPERATOR_{{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
- name: DTO_OPERATOR_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}

{{- /* Two replicas without a Lease would both write. */}}
{{- define "dto.leaderElection" -}}
{{ or .Values.leaderElection.enabled (gt (int .Values.replicas) 1) }}
{{- end }}
