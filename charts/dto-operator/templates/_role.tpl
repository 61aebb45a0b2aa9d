{{- /* A role and who has it: root, kind, name, subject, rules; namespace if it has one. */}}
{{- define "dto.role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  {{- include "dto.metadata" (merge (dict "component" "operator") .) | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  {{- include "dto.metadata" (merge (dict "component" "operator") .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  {{- toYaml (list .subject) | nindent 2 }}
{{- end }}
