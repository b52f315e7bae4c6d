// Command pulumi-resource-openstack is Pulumi's OpenStack provider, put together from its published parts.
//
// The published provider is in no Go module, but both of its halves are: the bridge and the Terraform provider. This
// joins them as the published one does (same tokens, same defaults from the environment, same naming), for the resources
// and look-ups that a cluster may use.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/v3/openstack"
)

// version is set by the linker.
var version = "0.0.0-dev"

var resources = map[string]tokens.Type{
	"openstack_blockstorage_volume_v3":             "openstack:blockstorage/volume:Volume",
	"openstack_compute_instance_v2":                "openstack:compute/instance:Instance",
	"openstack_compute_interface_attach_v2":        "openstack:compute/interfaceAttach:InterfaceAttach",
	"openstack_compute_keypair_v2":                 "openstack:compute/keypair:Keypair",
	"openstack_compute_servergroup_v2":             "openstack:compute/serverGroup:ServerGroup",
	"openstack_compute_volume_attach_v2":           "openstack:compute/volumeAttach:VolumeAttach",
	"openstack_identity_application_credential_v3": "openstack:identity/applicationCredential:ApplicationCredential",
	"openstack_networking_floatingip_associate_v2": "openstack:networking/floatingIpAssociate:FloatingIpAssociate",
	"openstack_networking_floatingip_v2":           "openstack:networking/floatingIp:FloatingIp",
	"openstack_networking_network_v2":              "openstack:networking/network:Network",
	"openstack_networking_port_v2":                 "openstack:networking/port:Port",
	"openstack_networking_router_interface_v2":     "openstack:networking/routerInterface:RouterInterface",
	"openstack_networking_router_v2":               "openstack:networking/router:Router",
	"openstack_networking_secgroup_rule_v2":        "openstack:networking/secGroupRule:SecGroupRule",
	"openstack_networking_secgroup_v2":             "openstack:networking/secGroup:SecGroup",
	"openstack_networking_subnet_v2":               "openstack:networking/subnet:Subnet",
	"openstack_objectstorage_container_v1":         "openstack:objectstorage/container:Container",
}

var lookups = map[string]tokens.ModuleMember{
	"openstack_blockstorage_volume_v3":        "openstack:blockstorage/getVolumeV3:getVolumeV3",
	"openstack_compute_availability_zones_v2": "openstack:compute/getAvailabilityZones:getAvailabilityZones",
	"openstack_compute_flavor_v2":             "openstack:compute/getFlavor:getFlavor",
	"openstack_compute_instance_v2":           "openstack:compute/getInstanceV2:getInstanceV2",
	"openstack_compute_keypair_v2":            "openstack:compute/getKeypair:getKeypair",
	"openstack_compute_limits_v2":             "openstack:compute/getLimitsV2:getLimitsV2",
	"openstack_identity_auth_scope_v3":        "openstack:identity/getAuthScope:getAuthScope",
	"openstack_images_image_ids_v2":           "openstack:images/getImageIds:getImageIds",
	"openstack_images_image_v2":               "openstack:images/getImage:getImage",
	"openstack_networking_floatingip_v2":      "openstack:networking/getFloatingIp:getFloatingIp",
	"openstack_networking_network_v2":         "openstack:networking/getNetwork:getNetwork",
	"openstack_networking_port_v2":            "openstack:networking/getPort:getPort",
	"openstack_networking_secgroup_v2":        "openstack:networking/getSecGroup:getSecGroup",
	"openstack_networking_subnet_v2":          "openstack:networking/getSubnet:getSubnet",
}

// environment gives the settings that the program leaves out.
var environment = map[string]string{
	"allow_reauth":  "OS_ALLOW_REAUTH",
	"cloud":         "OS_CLOUD",
	"delayed_auth":  "OS_DELAYED_AUTH",
	"endpoint_type": "OS_ENDPOINT_TYPE",
	"insecure":      "OS_INSECURE",
	"region":        "OS_REGION_NAME",
	"swauth":        "OS_SWAUTH",
}

// renamed are the fields that the published provider calls otherwise than the bridge would.
var renamed = map[string]map[string]*tfbridge.SchemaInfo{
	"openstack_networking_subnet_v2": {"allocation_pool": {Name: "allocationPools"}},
}

func provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:                       shimv2.NewProvider(openstack.Provider()),
		Name:                    "openstack",
		Version:                 version,
		GitHubOrg:               "terraform-provider-openstack",
		TFProviderModuleVersion: "v3",
		MetadataInfo:            tfbridge.NewProviderMetadata([]byte("{}")),
		Config:                  map[string]*tfbridge.SchemaInfo{},
		Resources:               map[string]*tfbridge.ResourceInfo{},
		DataSources:             map[string]*tfbridge.DataSourceInfo{},
	}
	for setting, variable := range environment {
		info.Config[setting] = &tfbridge.SchemaInfo{Default: &tfbridge.DefaultInfo{EnvVars: []string{variable}}}
	}
	for name, token := range resources {
		info.Resources[name] = &tfbridge.ResourceInfo{Tok: token, Fields: renamed[name]}
	}
	for name, token := range lookups {
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: token}
	}
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	tfbridge.Main("openstack", version, provider(), []byte("{}"))
}
