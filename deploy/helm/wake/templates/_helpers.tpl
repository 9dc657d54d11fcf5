{{- define "wake.labels" -}}
app.kubernetes.io/name: wake
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "wake.selector" -}}
app.kubernetes.io/name: wake
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "wake.image" -}}
{{ .root.Values.image.registry }}/{{ .program }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "wake.aggregator.host" -}}
wake-aggregator.{{ .Release.Namespace }}.svc
{{- end }}

{{/* What the chart knows, with what a person set over it. */}}
{{- define "wake.agent.config" -}}
{{- $computed := dict
  "version" 1
  "node" (dict "cluster" .Values.cluster "cgroup_root" "/sys/fs/cgroup")
  "state_dir" "/var/lib/wake/agent"
  "export" (dict "kind" "wake" "endpoint" (printf "http://%s:9400" (include "wake.aggregator.host" .)))
  "logs" (dict "journal" (dict "enabled" false))
  "admin" (dict "listen" "127.0.0.1:9402")
-}}
{{- toYaml (mergeOverwrite $computed (deepCopy .Values.agent.config)) }}
{{- end }}

{{- define "wake.aggregator.config" -}}
{{- $computed := dict
  "version" 1
  "data_dir" "/var/lib/wake/aggregator"
  "ingest" (dict "listen" "0.0.0.0:9400")
  "api" (dict "listen" "0.0.0.0:9401")
  "kubernetes" (dict "enabled" "on" "cluster" .Values.cluster)
-}}
{{- toYaml (mergeOverwrite $computed (deepCopy .Values.aggregator.config)) }}
{{- end }}
