"""What the targets on Kubernetes share: places, containers, calendars for autoscalers, and the folder of one cluster.

Comes in: a ``Plan``. Goes out: files of a Kustomize tree, one folder a place (``cluster.cluster_files``). The manifests are the templates
beside this file (``*.yaml.j2``), in the order in which a reader meets them; a target adds those of its pools.
"""
