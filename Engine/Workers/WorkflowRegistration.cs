using Exporter.Engine.Payloads;
using Exporter.Engine.Workflows;
using Microsoft.Extensions.DependencyInjection;

namespace Exporter.Engine.Workers;

/// <summary>A workflow's name and how its code is called with stored bytes.</summary>
/// <param name="Name">The name that runs are started under.</param>
/// <param name="CallAsync">Calls the code; answers the output as stored.</param>
internal sealed record WorkflowRegistration(
    string Name, Func<IServiceProvider, IWorkflowContext, PayloadCodec, byte[], Task<byte[]>> CallAsync)
{
    public static WorkflowRegistration Of<TWorkflow>(string name)
        where TWorkflow : class
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, 200, nameof(name));
        if (name.Contains('@', StringComparison.Ordinal))
        {
            throw new ArgumentException($"The name of a workflow must not contain \"@\"; \"{name}\" does.", nameof(name));
        }

        var contracts = Array.FindAll(
            typeof(TWorkflow).GetInterfaces(),
            type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IWorkflow<,>));
        if (contracts.Length != 1)
        {
            throw new ArgumentException($"{typeof(TWorkflow).Name} must implement IWorkflow<TInput, TOutput> exactly once; it does {contracts.Length} times.");
        }

        var call = typeof(WorkflowRegistration)
            .GetMethod(nameof(CallCodeAsync), System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.Static)!
            .MakeGenericMethod(contracts[0].GetGenericArguments())
            .CreateDelegate<Func<object, IWorkflowContext, PayloadCodec, byte[], Task<byte[]>>>();
        var make = new Lazy<ObjectFactory<TWorkflow>>(() => ActivatorUtilities.CreateFactory<TWorkflow>([]));
        return new WorkflowRegistration(
            name, (services, run, codec, input) => call(services.GetService<TWorkflow>() ?? make.Value(services, null), run, codec, input));
    }

    private static async Task<byte[]> CallCodeAsync<TInput, TOutput>(object workflow, IWorkflowContext run, PayloadCodec codec, byte[] input)
    {
        var output = await ((IWorkflow<TInput, TOutput>)workflow).RunAsync(run, codec.Read<TInput>(input, Places.Input(run.RunId))).ConfigureAwait(false);
        return codec.Write(output, Places.Output(run.RunId));
    }
}
