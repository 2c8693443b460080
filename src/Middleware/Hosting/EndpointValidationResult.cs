namespace ByteStreams;

/// <summary>The result of <see cref="EndpointValidator.ValidateAsync"/>.</summary>
/// <param name="Endpoints">The valid endpoints, in their order.</param>
/// <param name="Errors">The errors that keep the host from starting, or every client of an endpoint out.</param>
/// <param name="Warnings">What an operator should change although the endpoints serve, such as a certificate that expires soon. Empty if there are errors.</param>
public sealed record EndpointValidationResult(
    IReadOnlyList<EndpointDescription> Endpoints, IReadOnlyList<ConfigurationFinding> Errors, IReadOnlyList<ConfigurationFinding> Warnings)
{
    /// <summary>Whether there are no errors.</summary>
    public bool IsValid => Errors.Count == 0;
}

/// <summary>An error or a warning about the configuration.</summary>
/// <param name="Key">The configuration key, or the call in code that added the endpoint.</param>
/// <param name="Message">The cause and the remedy, in one line.</param>
public sealed record ConfigurationFinding(string Key, string Message)
{
    private const string Separator = ": ";

    /// <summary>The key, the cause and the remedy, in one line.</summary>
    public override string ToString() => Key.Length == 0 ? Message : Key + Separator + Message;

    /// <summary>Splits a line that begins with its key.</summary>
    internal static ConfigurationFinding Parse(string line) =>
        line.IndexOf(Separator, StringComparison.Ordinal) is int end and > 0
            ? new ConfigurationFinding(line[..end], line[(end + Separator.Length)..])
            : new ConfigurationFinding(string.Empty, line);
}
