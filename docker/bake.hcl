# Everything in one command, for both platforms:   docker buildx bake -f docker/bake.hcl
# Behind a proxy that re-signs TLS:                 CA=/path/to/bundle.pem docker buildx bake ...
# With wheels that only this machine has:           WHEELS=/path/to/folder docker buildx bake ...
variable "PLATFORMS" { default = "linux/amd64,linux/arm64" }
variable "BASE" { default = "debian:bookworm-slim" }
variable "PIP_INDEX_URL" { default = "https://pypi.org/simple" }
variable "TORCH_INDEX_URL" { default = "https://download.pytorch.org/whl/cpu" }
variable "CA" { default = "" }
variable "WHEELS" { default = "" }
# The image that lists what is in the others; built before them:  docker buildx bake ... sbom
variable "SBOM" { default = "" }
variable "REVISION" { default = "unknown" }
variable "SOURCE_DATE_EPOCH" { default = "" }

group "default" { targets = ["runtime", "train"] }

target "family" {
  context    = "."
  dockerfile = "docker/Dockerfile"
  platforms  = split(",", PLATFORMS)
  secret     = CA == "" ? [] : ["id=ca,src=${CA}"]
  contexts   = WHEELS == "" ? {} : { wheels = WHEELS }
  args = {
    BASE              = BASE
    PIP_INDEX_URL     = PIP_INDEX_URL
    TORCH_INDEX_URL   = TORCH_INDEX_URL
    REVISION          = REVISION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH == "" ? null : SOURCE_DATE_EPOCH
  }
}
target "attested" {
  attest = concat(["type=provenance,mode=max"],
    SBOM == "" ? [] : ["type=sbom,generator=${SBOM}"])
}
target "runtime" {
  inherits = ["family", "attested"]
  target   = "runtime"
  tags     = ["tinytx:runtime"]
}
target "train" {
  inherits = ["family", "attested"]
  target   = "train"
  tags     = ["tinytx:train"]
  # A gigabyte of torch: zstd packs it in a fraction of gzip's time.
  output   = ["type=image,compression=zstd,compression-level=1"]
}
target "sbom" {
  inherits  = ["family"]
  target    = "sbom"
  platforms = []
  tags      = ["tinytx:sbom"]
}
