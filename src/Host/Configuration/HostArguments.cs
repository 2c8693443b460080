namespace StreamsHost.Configuration;

/// <summary>The configuration arguments of the command line.</summary>
/// <param name="File">The configuration file; null for the one in the program's folder.</param>
/// <param name="Keys">Single keys, each as <c>--key=value</c>.</param>
/// <param name="WithoutFile">Whether no file is read.</param>
internal sealed record HostArguments(string? File, IReadOnlyList<string> Keys, bool WithoutFile = false);
