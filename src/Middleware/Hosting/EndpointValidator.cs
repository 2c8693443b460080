using ByteStreams.Hosting;

namespace ByteStreams;

/// <summary>
/// Validates the registered and configured endpoints as a start of the host would, files and host names included, without binding a socket; a
/// service that <c>AddByteStreams</c> registers.
/// </summary>
/// <remarks>
/// Two findings are errors here and warnings at the start, because they keep no service from starting and every client out: a certificate
/// that is not valid now, and client authorities without a root. Whether an address is free is not examined. All members may be called from
/// any thread, before the host starts and while it runs.
/// </remarks>
/// <example>
/// <code>
/// await using WebApplication host = builder.Build();
/// EndpointValidationResult result = await host.Services.GetRequiredService&lt;EndpointValidator&gt;().ValidateAsync();
/// foreach (ConfigurationFinding error in result.Errors)
/// {
///     Console.Error.WriteLine(error);
/// }
/// </code>
/// </example>
public sealed class EndpointValidator
{
    private readonly IServiceProvider _services;

    internal EndpointValidator(IServiceProvider services) => _services = services;

    /// <summary>Validates every endpoint.</summary>
    /// <param name="cancellationToken">Cancels the resolving of host names, which may take seconds.</param>
    /// <returns>All errors and warnings, and the endpoints that are valid. Invalid configuration is a result and no exception.</returns>
    /// <exception cref="OperationCanceledException">The token was canceled; there is no result.</exception>
    public async Task<EndpointValidationResult> ValidateAsync(CancellationToken cancellationToken = default)
    {
        var errors = new List<string>();
        IReadOnlyList<EndpointDefinition> definitions = await EndpointCheck.RunAsync(_services, errors, cancellationToken).ConfigureAwait(false);
        return new EndpointValidationResult(
            [.. definitions.Select(EndpointCheck.Describe)],
            [.. errors.Select(ConfigurationFinding.Parse)],
            errors.Count > 0 ? [] : [.. definitions.SelectMany(definition => EndpointCheck.Warnings(_services, definition)).Select(ConfigurationFinding.Parse)]);
    }
}
