{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- /*
For your own pod spec, in a chart that has this one as a dependency:

  initContainers:                                   # `containers:` with native: false
    {{- include "envdial.sidecar" . | nindent 4 }}
  containers:
  - name: app
    volumeMounts:
      {{- include "envdial.volumeMounts" . | nindent 6 }}
  volumes:
    {{- include "envdial.volumes" . | nindent 4 }}
*/ -}}

{{- /* Our values: those of this chart, or those that the chart around it has below `envdial:`. */ -}}
{{- define "envdial.values" -}}
{{- if eq .Chart.Name "envdial" }}{{ toYaml .Values }}{{ else }}{{ toYaml (required "envdial: the chart envdial is not among the dependencies of this one (Chart.yaml)" .Values.envdial) }}{{ end }}
{{- end -}}

{{- define "envdial.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end -}}

{{- define "envdial.sidecar" -}}
{{- $values := fromYaml (include "envdial.values" .) -}}
{{- $consul := $values.consul -}}
{{- $address := required "envdial: consul.address is empty: set it to Consul's address, such as https://consul-server.consul.svc:8501, or http://$(HOST_IP):8500 for the agent of the node" $consul.address -}}
- name: envdial
  image: {{ include "envdial.image" $values.image | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  {{- if $values.native }}
  restartPolicy: Always
  {{- end }}
  args:
  - run
  - --dials
  - {{ printf "/etc/envdial/dials/%s" $values.dials.key | quote }}
  - --listen
  - {{ printf ":%d" (int $values.metricsPort) | quote }}
  - --log-format
  - json
  - --require-unprivileged
  {{- if $values.openToPod }}
  - --env-file-mode
  - "0644"
  - --socket-mode
  - "0666"
  {{- end }}
  {{- with $consul.datacenter }}
  - --datacenter
  - {{ . | quote }}
  {{- end }}
  {{- with $values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  env:
  {{- if contains "$(HOST_IP)" $address }}
  - name: HOST_IP
    valueFrom:
      fieldRef:
        fieldPath: status.hostIP
  {{- end }}
  - name: ENVDIAL_CONSUL_ADDR
    value: {{ $address | quote }}
  {{- if $consul.caSecret.name }}
  - name: CONSUL_CACERT
    value: {{ printf "/etc/envdial/ca/%s" $consul.caSecret.key | quote }}
  {{- end }}
  {{- with $consul.tlsServerName }}
  - name: CONSUL_TLS_SERVER_NAME
    value: {{ . | quote }}
  {{- end }}
  {{- if $consul.clientCertSecret.name }}
  - name: CONSUL_CLIENT_CERT
    value: /etc/envdial/client/tls.crt
  - name: CONSUL_CLIENT_KEY
    value: /etc/envdial/client/tls.key
  {{- end }}
  {{- if $consul.tokenSecret.name }}
  - name: CONSUL_HTTP_TOKEN_FILE
    value: {{ printf "/etc/envdial/token/%s" $consul.tokenSecret.key | quote }}
  {{- end }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: envdial-metrics
    containerPort: {{ int $values.metricsPort }}
  volumeMounts:
  - name: envdial-dials
    mountPath: /etc/envdial/dials
    readOnly: true
  - name: envdial-run
    mountPath: /run/envdial
  - name: envdial-state
    mountPath: /var/lib/envdial
  {{- range $name, $secret := include "envdial.secrets" $consul | fromYaml }}
  - name: {{ $name }}
    mountPath: {{ trimPrefix "envdial-" $name | printf "/etc/envdial/%s" }}
    readOnly: true
  {{- end }}
  startupProbe:
    exec:
      command: [/envdial, probe, startup]
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 86400
  livenessProbe:
    exec:
      command: [/envdial, probe, live]
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- if $values.readyOnlyWhenFresh }}
  readinessProbe:
    exec:
      command: [/envdial, status]
    periodSeconds: 5
    timeoutSeconds: 5
  {{- end }}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
{{- end -}}

{{- /* For the app's container. */ -}}
{{- define "envdial.volumeMounts" -}}
- name: envdial-run
  mountPath: /run/envdial
  readOnly: true
{{- end -}}

{{- define "envdial.volumes" -}}
{{- $values := fromYaml (include "envdial.values" .) -}}
- name: envdial-dials
  configMap:
    name: {{ required "envdial: dials.configMap is empty: set it to the name of the ConfigMap that has the dials file" $values.dials.configMap | quote }}
- name: envdial-run
  emptyDir:
    medium: Memory
    sizeLimit: 4Mi
- name: envdial-state
  {{- if $values.state.claim }}
  persistentVolumeClaim:
    claimName: {{ $values.state.claim | quote }}
  {{- else }}
  emptyDir:
    sizeLimit: 16Mi
  {{- end }}
{{- range $name, $secret := include "envdial.secrets" $values.consul | fromYaml }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret | quote }}
{{- end }}
{{- end -}}

{{- /* The Secrets that the sidecar mounts, by the volume's name. */ -}}
{{- define "envdial.secrets" -}}
{{- with .caSecret.name }}
envdial-ca: {{ . | quote }}
{{- end }}
{{- with .clientCertSecret.name }}
envdial-client: {{ . | quote }}
{{- end }}
{{- with .tokenSecret.name }}
envdial-token: {{ . | quote }}
{{- end }}
{{- end -}}
