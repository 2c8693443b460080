using System.Reflection;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>A method that a <c>using</c> has to be written for is one that documents name with it.</summary>
public class MiddlewareNamespaceTests
{
    [Theory]
    [InlineData("docs/applications.md")]
    [InlineData("docs/asyncio.md")]
    public void Documentation_ExtensionsOfTheServersOptions_NamesTheirNamespace(string document)
    {
        string[] namespaces = [.. typeof(ByteStreamServerOptions).Assembly.GetExportedTypes()
            .Where(type => type.IsDefined(typeof(ExtensionAttribute)))
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Static))
            .Where(method => method.IsDefined(typeof(ExtensionAttribute)) && method.IsGenericMethod
                && method.GetGenericArguments()[0].GetGenericParameterConstraints().Contains(typeof(IConnectionBuilder)))
            .Select(method => method.DeclaringType!.Namespace!)
            .Distinct()];

        Assert.NotEmpty(namespaces);
        string text = Repository.Read(document);
        Assert.All(namespaces, name => Assert.True(
            name == typeof(ByteStreamServerOptions).Namespace || text.Contains($"using {name};", StringComparison.Ordinal), $"{document} does not name {name}."));
    }
}
