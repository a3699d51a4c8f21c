{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /* A text as CEL writes it. */ -}}
{{- define "envdial.cel" -}}
'{{ . | replace "\\" "\\\\" | replace "'" "\\'" }}'
{{- end -}}

{{- /* A map of texts as CEL writes it. */ -}}
{{- define "envdial.celMap" -}}
{ {{- range $i, $name := keys (. | default dict) | sortAlpha }}{{ if $i }}, {{ end }}{{ include "envdial.cel" $name }}: {{ include "envdial.cel" (get $ $name | toString) }}{{ end -}} }
{{- end -}}

{{- /* Further arguments of the injected sidecar. */ -}}
{{- define "envdial.celMore" -}}
{{- $more := .Values.extraArgs }}
{{- with .Values.consul.datacenter }}{{ $more = concat (list "--datacenter" .) $more }}{{ end }}
{{- if $more }} + [{{ range $i, $argument := $more }}{{ if $i }}, {{ end }}{{ include "envdial.cel" $argument }}{{ end }}]{{ end }}
{{- end -}}

{{- define "envdial.exempt" -}}
{{- with .Values.admission.exemptNamespaces }}
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ toJson . }}
{{- end }}
{{- end -}}
