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
  "export" (dict "kind" "wake" "endpoint" (printf "https://%s:9400" (include "wake.aggregator.host" .)))
  "tls" (dict "mode" "enrol" "ca" "/var/run/secrets/wake/ca/ca.crt" "token" "/var/run/secrets/wake/token/token")
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
  "admin" (dict "listen" "0.0.0.0:9403")
  "auth" (dict "mode" "kubernetes")
  "tls" (dict
    "mode" "issued"
    "ca_secret" (printf "%s/wake-ca" .Release.Namespace)
    "ca_config_map" (printf "%s/wake-ca" .Release.Namespace)
    "names" (list "wake-aggregator" (printf "wake-aggregator.%s" .Release.Namespace) (include "wake.aggregator.host" .))
    "enrol_service_accounts" (list (printf "%s/wake-agent" .Release.Namespace)))
  "kubernetes" (dict "enabled" "on" "cluster" .Values.cluster)
-}}
{{- if .Values.otlp.enabled }}
{{- $_ := set $computed "otlp" (dict
  "grpc_listen" "0.0.0.0:4317"
  "http_listen" "0.0.0.0:4318"
  "tls" true
  "auth" (dict "mode" "kubernetes" "collectors" .Values.otlp.collectors))
-}}
{{- end }}
{{- toYaml (mergeOverwrite $computed (deepCopy .Values.aggregator.config)) }}
{{- end }}
