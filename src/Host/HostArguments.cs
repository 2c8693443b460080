namespace StreamsHost;

/// <summary>What the command line says about the configuration.</summary>
/// <param name="File">The configuration file; null for the one beside the program.</param>
/// <param name="Keys">Single keys, each as <c>--key=value</c>.</param>
internal sealed record HostArguments(string? File, IReadOnlyList<string> Keys);
