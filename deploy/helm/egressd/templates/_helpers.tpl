{{/* Labels by which the agent's pods are found. They cannot be changed once a DaemonSet is there. */}}
{{- define "egressd.selector" -}}
app.kubernetes.io/name: egressd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "egressd.labels" -}}
{{ include "egressd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "egressd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "egressd.listen" -}}
{{- if contains ":" .Values.metrics.address -}}
[{{ .Values.metrics.address }}]:{{ .Values.metrics.port }}
{{- else -}}
{{ .Values.metrics.address }}:{{ .Values.metrics.port }}
{{- end }}
{{- end }}

{{/* A kubelet asks the pod's address, which is the node's, unless it is told another one. */}}
{{- define "egressd.probe" -}}
httpGet:
  {{- if not (has .Values.metrics.address (list "0.0.0.0" "::")) }}
  host: {{ .Values.metrics.address | quote }}
  {{- end }}
  port: metrics
{{- end }}

{{/* A container that takes egressd off its node. */}}
{{- define "egressd.uninstall" -}}
image: {{ include "egressd.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "egressd.security" . | nindent 2 }}
volumeMounts:
  {{- include "egressd.mounts" . | nindent 2 }}
{{- end }}

{{/* Said, since what the agent wrote down of it does not outlive a restart of the node. */}}
{{- define "egressd.uninstallArguments" -}}
- --cni-config={{ .Values.cni.configurationDirectory }}
- --cni-bin={{ .Values.cni.binaryDirectory }}
{{- end }}

{{/* What the agent needs to be allowed, and nothing else. */}}
{{- define "egressd.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsUser: 0
capabilities:
  drop: [ALL]
  add:
    # maps and programs, and the helpers in them that trace
    - BPF
    - PERFMON
    # attaching to interfaces
    - NET_ADMIN
    # entering a pod's network namespace to look for its interface
    - SYS_ADMIN
    # which network namespace a process has
    - SYS_PTRACE
    # locked memory for maps before kernel 5.11
    - SYS_RESOURCE
seccompProfile:
  type: RuntimeDefault
# AppArmor's usual profile keeps a container from looking at other processes' namespaces.
appArmorProfile:
  type: Unconfined
{{- end }}

{{- define "egressd.mounts" -}}
- name: bpf
  mountPath: /sys/fs/bpf
  mountPropagation: HostToContainer
- name: run
  mountPath: /run/egressd
- name: netns
  mountPath: /run/netns
  readOnly: true
  mountPropagation: HostToContainer
{{- if or .Values.cni.install .Values.uninstall }}
- name: cni-configuration
  mountPath: {{ .Values.cni.configurationDirectory }}
- name: cni-binaries
  mountPath: {{ .Values.cni.binaryDirectory }}
{{- end }}
{{- end }}

{{- define "egressd.volumes" -}}
# What is pinned outlives the agent. A bpffs must be mounted there, as systemd does on every node.
- name: bpf
  hostPath:
    path: /sys/fs/bpf
    type: Directory
- name: run
  hostPath:
    path: /run/egressd
    type: DirectoryOrCreate
# Where runtimes keep the pods' network namespaces.
- name: netns
  hostPath:
    path: /run/netns
    type: DirectoryOrCreate
{{- if or .Values.cni.install .Values.uninstall }}
# egress-cni is put in there; `egressctl uninstall` takes it out.
- name: cni-configuration
  hostPath:
    path: {{ .Values.cni.configurationDirectory }}
    type: DirectoryOrCreate
- name: cni-binaries
  hostPath:
    path: {{ .Values.cni.binaryDirectory }}
    type: DirectoryOrCreate
{{- end }}
{{- end }}
