// Command pulumi-language-python runs Python programs for the Pulumi engine.
//
// The published one is in no Go module. Its parts are: the choice of the interpreter (sdk/python/toolchain) and the
// script that runs a program (pulumi-language-python-exec, which must lie beside this binary). This serves them to the
// engine, a new process for each run, as the published one does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// errorWasShown is the script's exit code for a failure that it has told the user already.
const errorWasShown = 32

// host is one engine's language host.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	alive   context.Context // ends when the engine wants this process to end, or is gone itself
	engine  string
	script  string
	running sync.WaitGroup
}

func main() {
	flag.Parse()
	if err := serve(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-python:", err)
		os.Exit(1)
	}
}

func serve(engine string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	alive, end := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer end()
	h := &host{alive: alive, engine: engine, script: self + "-exec"}
	if engine != "" {
		if err := rpcutil.Healthcheck(alive, engine, 10*time.Second, end); err != nil {
			return err
		}
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, h)
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	select {
	case err := <-handle.Done:
		return err
	case <-alive.Done():
		// At once: the engine waits 10 s for a host that lingers. The programs were killed with `alive`.
		h.running.Wait()
		return nil
	}
}

func (h *host) Handshake(
	context.Context, *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

// GetRequiredPackages names none: the program's own resources name the provider's version, and the engine would try to
// download whatever is named here.
func (h *host) GetRequiredPackages(
	context.Context, *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *host) About(ctx context.Context, req *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	python, err := interpreter(req.GetInfo())
	if err != nil {
		return nil, err
	}
	about, err := python.About(ctx)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.AboutResponse{Executable: about.PythonExecutable, Version: about.PythonVersion.String()}, nil
}

// Run runs the program to its end and tells how it ended.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	h.running.Add(1)
	defer h.running.Done()
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	defer context.AfterFunc(h.alive, kill)()

	python, err := interpreter(req.GetInfo())
	if err != nil {
		return nil, err
	}
	if err := python.ValidateVenv(ctx); err != nil {
		return nil, err
	}
	command, err := python.Command(ctx, h.arguments(req)...)
	if err != nil {
		return nil, err
	}
	if command.Env == nil {
		command.Env = os.Environ()
	}
	config, err := configuration(req)
	if err != nil {
		return nil, err
	}
	command.Env = append(command.Env, config...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr

	var exit *exec.ExitError
	switch err := command.Run(); {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == errorWasShown:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return &pulumirpc.RunResponse{
			Error: fmt.Sprintf("Program exited with non-zero exit code: %d", exit.ExitCode()),
		}, nil
	default:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("Program did not run to its end: %v", err)}, nil
	}
}

// interpreter is the Python that Pulumi.yaml's runtime options ask for.
func interpreter(info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	options := toolchain.PythonOptions{Root: info.GetRootDirectory(), ProgramDir: info.GetProgramDirectory()}
	fields := info.GetOptions().GetFields()
	options.Virtualenv = fields["virtualenv"].GetStringValue()
	switch name := fields["toolchain"].GetStringValue(); name {
	case "": // found by Pulumi's own rule
	case "pip":
		options.Toolchain = toolchain.Pip
	case "poetry":
		options.Toolchain = toolchain.Poetry
	case "uv":
		options.Toolchain = toolchain.Uv
	default:
		return nil, fmt.Errorf("unsupported toolchain option: %s", name)
	}
	return toolchain.ResolveToolchain(options)
}

func (h *host) arguments(req *pulumirpc.RunRequest) []string {
	info := req.GetInfo()
	args := []string{
		"-u", h.script,
		"--monitor", req.GetMonitorAddress(),
		"--engine", h.engine,
		"--project", req.GetProject(),
		"--organization", req.GetOrganization(),
		"--root_directory", info.GetRootDirectory(),
		"--stack", req.GetStack(),
		"--pwd", req.GetPwd(),
		"--dry_run", strconv.FormatBool(req.GetDryRun()),
		"--parallel", strconv.Itoa(int(req.GetParallel())),
		filepath.Join(info.GetProgramDirectory(), info.GetEntryPoint()),
	}
	return append(args, req.GetArgs()...)
}

// configuration is what the Python library reads at the program's start.
func configuration(req *pulumirpc.RunRequest) ([]string, error) {
	config, secrets := req.GetConfig(), req.GetConfigSecretKeys()
	if len(config) == 0 {
		return nil, nil // what is there must be a map, and JSON has null for none
	}
	values, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	names, err := json.Marshal(append([]string{}, secrets...))
	if err != nil {
		return nil, err
	}
	return []string{"PULUMI_CONFIG=" + string(values), "PULUMI_CONFIG_SECRET_KEYS=" + string(names)}, nil
}
