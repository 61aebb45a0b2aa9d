{{- define "dto.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "dto.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "dto.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* Where the whole cluster is watched, nobody knows the namespaces of runs beforehand. */}}
{{- define "dto.stages.serviceAccount" -}}
{{- $created := and .Values.stages.serviceAccount.create (not .Values.watch.clusterWide) }}
{{- if $created }}{{ default (printf "%s-stages" (include "dto.fullname" .)) .Values.stages.serviceAccount.name }}
{{- else }}{{ default "default" .Values.stages.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "dto.priorityClass" -}}
{{- if .Values.priorityClass.create }}{{ default (include "dto.fullname" .) .Values.priorityClass.name }}
{{- else }}{{ .Values.priorityClassName }}
{{- end }}
{{- end }}

{{- define "dto.minio" -}}
{{ include "dto.fullname" . }}-minio
{{- end }}

{{- /* The namespaces that are watched, comma-separated; empty for all. */}}
{{- define "dto.namespaces" -}}
{{- if not .Values.watch.clusterWide }}{{ .Values.watch.namespaces | default (list .Release.Namespace) | uniq | join "," }}
{{- end }}
{{- end }}

{{- define "dto.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}
{{- else }}{{ .image.repository }}:{{ default .version .image.tag }}
{{- end }}
{{- end }}

{{- define "dto.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "dto.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "dto-operator" }}
{{- merge $own (include "dto.selector" . | fromYaml) .root.Values.labels (default dict .labels) | toYaml }}
{{- end }}

{{- /* name, labels and annotations of an object: root, component and name; namespace, labels, annotations if it has any. */}}
{{- define "dto.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "dto.labels" . | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
